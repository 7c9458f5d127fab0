"""Which pages may call: our own, and those that the operator names."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit


def may_call(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a request with this Origin and Host header comes from an allowed page.

    Without an Origin it does not come from a page. The scheme of our own origin is not compared: behind a proxy
    that ends TLS this process does not know it.
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        own = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(host) and own.lower() == (host or "").lower()
