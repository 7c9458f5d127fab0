"""Which pages may call: our own, and those that the operator names."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def may_call(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a request with this Origin and Host header comes from an allowed page.

    Without an Origin it does not come from a page. The scheme of our own origin is not compared: behind a proxy
    that ends TLS this process does not know it. A port that is not named is the one that the Origin's scheme has.
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    page = _parts(origin)
    if page is None:
        return False
    scheme, place = page
    own = _parts(f"{scheme}://{host}") if host else None
    return (own is not None and own[1] == place) or any(_parts(each) == page for each in allowed)


def _parts(origin: str) -> tuple[str, tuple[str, int]] | None:
    """Scheme, name and port of an origin (RFC 6454); None for anything else, such as `null`."""
    try:
        parts = urlsplit(origin)
        port, name = parts.port, parts.hostname
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not name or "@" in parts.netloc or not origin.endswith(parts.netloc):
        return None
    return parts.scheme, (name.removesuffix("."), DEFAULT_PORTS[parts.scheme] if port is None else port)
