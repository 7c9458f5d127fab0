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
