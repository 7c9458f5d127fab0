"""Rate limits by token bucket (GCRA): one number for each key, under a microsecond for each question."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from ipaddress import IPv6Address, ip_address
from math import ceil

from api.errors import Throttled

CAPACITY = 100_000
"""Keys that one limiter remembers; beyond that, those nearest to a full bucket are forgotten."""


class RateLimit:
    """`rate` per second on average, `burst` at once. `name` is what the RateLimit headers call the policy.

    For each key it holds the time at which its bucket would be full again.
    """

    def __init__(
        self, name: str, rate: float, burst: int, clock: Callable[[], float], capacity: int = CAPACITY
    ) -> None:
        self.name = name
        self._interval = 1 / rate
        self._burst = burst
        self._window = burst / rate
        self._slack = self._interval / 1000  # the sum of many intervals is not quite their product
        self._clock = clock
        self._capacity = capacity
        self._full_at: dict[str, float] = {}

    def wait_ms(self, key: str, count: int = 1) -> int | None:
        """What `take` would answer; takes nothing."""
        now = self._clock()
        wait = max(self._full_at.get(key, now), now) + count * self._interval - now - self._window
        return ceil(wait * 1000) if wait > self._slack else None

    def take(self, key: str, count: int = 1) -> int | None:
        """Take as many tokens; None if there were so many, else the milliseconds until there are."""
        now = self._clock()
        full_at = self._full_at.get(key, now)
        if full_at < now:
            full_at = now
        full_at += self._interval * count
        wait = full_at - now - self._window
        if wait > self._slack:
            return ceil(wait * 1000)
        self._full_at[key] = full_at
        if len(self._full_at) > self._capacity:
            self._forget(now)
        return None

    def give_back(self, key: str) -> None:
        """Return a token that was taken."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = full_at - self._interval

    def headers(self, key: str) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy` as of now, after draft-ietf-httpapi-ratelimit-headers: `r` is what
        is left, `t` the seconds until all of it is back, `q` the quota for `w` seconds."""
        now = self._clock()
        owed = max(0.0, self._full_at.get(key, now) - now)
        left = max(0, int((self._window - owed) / self._interval + 0.001))
        return {
            "RateLimit": f'"{self.name}";r={left};t={ceil(owed)}',
            "RateLimit-Policy": f'"{self.name}";q={self._burst};w={ceil(self._window)}',
        }

    def enforce(self, key: str) -> dict[str, str]:
        """Take a token and give the headers for the answer. Raises Throttled."""
        wait_ms = self.take(key)
        headers = self.headers(key)
        if wait_ms is not None:
            raise Throttled(f"the limit '{self.name}' is used up: come back in {wait_ms} ms", wait_ms, headers)
        return headers

    def _forget(self, now: float) -> None:
        """Drop full buckets, then the fullest, down to half: so the cost is spread over many questions."""
        waiting = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(waiting) > self._capacity // 2:
            waiting = {key: waiting[key] for key in nlargest(self._capacity // 2, waiting, key=waiting.__getitem__)}
        self._full_at = waiting


def address_key(host: str) -> str:
    """An address as limits count it: IPv6 by its first 64 bits, in hex, for that is what one household has."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{int(address) >> 64:016x}"
    return host
