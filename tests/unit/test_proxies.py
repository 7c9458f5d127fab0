"""Whom a request is from, going by who brings it."""

from __future__ import annotations

from typing import Any

import pytest

from infra.front.proxies import Forwarded, Proxies, parse_proxies
from infra.settings import BadSettings, load_settings

PROXY, CLIENT = "192.0.2.1", "198.51.100.7"


async def seen(listed: str, peer: str, *headers: tuple[str, str]) -> tuple[str, str]:
    """The client's address and scheme as the app has them."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    scope = {
        "type": "http",
        "client": (peer, 5000),
        "scheme": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    await Forwarded(app, Proxies(parse_proxies(listed)))(scope, None, None)  # type: ignore[arg-type]
    return scopes[0]["client"][0], scopes[0]["scheme"]


def forwarded(value: str) -> tuple[str, str]:
    return "x-forwarded-for", value


def test_by_default_nobody_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDINGS_FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert load_settings().forwarded_allow_ips == ""


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", CLIENT, "a socket"])
async def test_who_is_not_listed_speaks_for_itself_alone(peer: str) -> None:
    said = [forwarded("10.1.2.3"), ("x-forwarded-proto", "https")]
    assert await seen("", peer, *said) == (peer, "http")
    assert await seen(PROXY, peer, *said) == (peer, "http")


@pytest.mark.parametrize(
    ("listed", "peer", "value", "client"),
    [
        (PROXY, PROXY, CLIENT, CLIENT),
        (PROXY, f"::ffff:{PROXY}", CLIENT, CLIENT),
        ("192.0.2.0/24", PROXY, CLIENT, CLIENT),
        ("192.0.2.0/24", PROXY, f"10.9.9.9, {CLIENT}", CLIENT),
        ("192.0.2.0/24", PROXY, f"10.9.9.9, {CLIENT}, 192.0.2.9", CLIENT),
        ("*", PROXY, f"10.9.9.9, {CLIENT}", CLIENT),
        (PROXY, PROXY, f"{CLIENT}:5123", CLIENT),
        (PROXY, PROXY, "[2001:db8::1]:5123", "2001:db8::1"),
        (PROXY, PROXY, "2001:db8::1", "2001:db8::1"),
        (PROXY, PROXY, "unknown", PROXY),
        (PROXY, PROXY, "", PROXY),
        (PROXY, PROXY, "\x1b[31m, \x9b", PROXY),
        (PROXY, PROXY, f"{CLIENT}, \xff", PROXY),
        ("192.0.2.0/24", PROXY, "10.9.9.9, junk, 192.0.2.9", "192.0.2.9"),
    ],
)
async def test_of_what_a_proxy_says_its_own_word_counts(listed: str, peer: str, value: str, client: str) -> None:
    assert await seen(listed, peer, forwarded(value)) == (client, "http")


async def test_several_lines_are_one_list() -> None:
    assert (await seen(PROXY, PROXY, forwarded("10.9.9.9"), forwarded(CLIENT)))[0] == CLIENT
    assert (await seen(PROXY, PROXY, forwarded(CLIENT), forwarded("")))[0] == PROXY


@pytest.mark.parametrize(("said", "scheme"), [("https", "https"), ("http, https", "https"), ("gopher", "http")])
async def test_a_proxy_tells_the_scheme(said: str, scheme: str) -> None:
    assert (await seen(PROXY, PROXY, ("x-forwarded-proto", said)))[1] == scheme


async def test_other_headers_count_for_nothing() -> None:
    others = [("forwarded", "for=10.9.9.9"), ("x-real-ip", "10.9.9.9"), ("true-client-ip", "10.9.9.9")]
    assert await seen(PROXY, PROXY, *others) == (PROXY, "http")


@pytest.mark.parametrize("listed", ["proxy", "10.0.0.0/33", "10.0.0.1/8", "127.0.0.1,x"])
def test_what_is_no_address_cannot_be_set(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setenv("TIDINGS_FORWARDED_ALLOW_IPS", listed)
    with pytest.raises(BadSettings, match="FORWARDED_ALLOW_IPS"):
        load_settings()
