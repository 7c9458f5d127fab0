"""Which peers are proxies of ours, and whom a request is from that one of them brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Proxies:
    """`listed`: addresses and networks, or `*` for every peer. Empty: nobody is believed."""

    def __init__(self, listed: Sequence[str]) -> None:
        self.listed = tuple(listed)
        self._everybody = "*" in listed
        self._networks = [ip_network(each) for each in listed if each != "*"]
        self._is_in = lru_cache(maxsize=4096)(self._look_up)

    def __contains__(self, host: object) -> bool:
        return self._everybody or (bool(self._networks) and isinstance(host, str) and self._is_in(host))

    def _look_up(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)


def parse_proxies(text: str) -> tuple[str, ...]:
    """Addresses and networks, separated by commas. Raises ValueError."""
    listed = tuple(filter(None, map(str.strip, text.split(","))))
    for each in listed:
        if each != "*":
            try:
                ip_network(each)
            except ValueError:
                raise ValueError(f"{each!r} is neither an address nor a network such as 10.0.0.0/8") from None
    return listed


class Forwarded:
    """ASGI middleware: a request that a proxy of ours brings is from whom the proxy says it is.

    Only X-Forwarded-For and X-Forwarded-Proto count, and of the first only what our own proxies wrote: it is read
    from its end, for what stands before the first address that is no proxy's comes from the client and may be made up.
    """

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client and client[0] in self._proxies:
            told = {
                name: b", ".join(value for key, value in scope["headers"] if key == name)
                for name in (b"x-forwarded-for", b"x-forwarded-proto")
            }
            host = self._client_in(told[b"x-forwarded-for"].decode("latin-1"))
            proto = told[b"x-forwarded-proto"].decode("latin-1").rpartition(",")[2].strip()
            changed: dict[str, object] = {}
            if host:
                changed["client"] = (host, 0)
            if proto in ("http", "https"):
                changed["scheme"] = proto
            scope = {**scope, **changed}
        await self._app(scope, receive, send)

    def _client_in(self, hosts: str) -> str:
        """The address that the outermost of our proxies saw; "" if none was told."""
        found = ""
        for each in reversed(hosts.split(",")):
            host = _bare(each.strip())
            if not host:
                break
            found = host
            if "*" in self._proxies.listed or host not in self._proxies:
                break
        return found


def _bare(text: str) -> str:
    """An address without its port; "" for what is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
