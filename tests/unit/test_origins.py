"""Which pages may call."""

from __future__ import annotations

import pytest

from api.origins import may_call


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://chat.example", True),
        ("http://CHAT.example", True),
        ("https://chat.example:8443", False),
        ("https://evil.example", False),
        ("https://chat.example.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("https://friend.example", True),
    ],
)
def test_our_own_pages_and_named_ones_may_call(origin: str | None, allowed: bool) -> None:
    assert may_call(origin, "chat.example", ["https://friend.example"]) is allowed


def test_everybody_may_call_where_the_operator_says_so() -> None:
    assert may_call("https://evil.example", "chat.example", ["*"])


def test_without_a_host_no_page_is_our_own() -> None:
    assert not may_call("https://chat.example", None, [])
    assert not may_call("null", "", [])


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://chat.example", "chat.example:443", True),
        ("https://chat.example:443", "chat.example", True),
        ("http://chat.example", "chat.example:80", True),
        ("https://chat.example", "CHAT.example.:443", True),
        ("https://[2001:db8::1]", "[2001:DB8::1]:443", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://chat.example", "chat.example:80", False),
        ("http://chat.example", "chat.example:443", False),
        ("https://[2001:db8::2]", "[2001:db8::1]:443", False),
        ("https://chat.example@evil.example", "evil.example", False),
        ("https://chat.example/page", "chat.example", False),
        ("https://chat.example/", "chat.example", False),
        ("https://chat.example?", "chat.example", False),
        ("https://chat.example#x", "chat.example", False),
        ("https://chat.example\n", "chat.example", False),
        ("ftp://chat.example", "chat.example", False),
        ("https://chat.example:x", "chat.example:x", False),
        ("https://friend.example:443", "chat.example", True),
        ("http://friend.example", "chat.example", False),
    ],
)
def test_a_port_that_is_not_named_is_that_of_the_scheme(origin: str, host: str, allowed: bool) -> None:
    assert may_call(origin, host, ["https://friend.example"]) is allowed
