"""How often a password may be guessed: by address, and by account, without locking its owner out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

from api.asker import asker
from api.ratelimit import RateLimit
from commands.errors import BadCredentials

HOUR_S = 3600
CAPACITY = 50_000
FRESH_TRIES = 2
"""So often in an hour an address that never signed in counts as new to an account."""


class SignIns:
    """Counts attempts that fail; those that succeed are given back.

    An account takes `failures_per_hour` in any hour, shared out by who tries: addresses from which it was signed in to
    before, addresses that are new to it, and all others. So whoever guesses from a few addresses uses up one share,
    and the owner still gets in from an address of old or from a new one. An address takes `failures_per_minute`,
    whatever the names; attempts from an address that has signed in to that account before do not count there.

    What is remembered is bounded, and lost at a restart.
    """

    def __init__(self, clock: Callable[[], float], failures_per_minute: int = 60, failures_per_hour: int = 100) -> None:
        def share(name: str, percent_at_once: int) -> RateLimit:
            """The given part of the hour's failures at once, a fifth more over the hour."""
            burst = max(1, failures_per_hour * percent_at_once // 100)
            return RateLimit(name, failures_per_hour / 5 / HOUR_S, burst, clock, CAPACITY)

        self._addresses = RateLimit("failed-logins", failures_per_minute / 60, failures_per_minute, clock, CAPACITY)
        self._fresh = RateLimit("fresh", FRESH_TRIES / HOUR_S, FRESH_TRIES, clock, CAPACITY)
        self._from_new = share("account", 10)
        self._from_known = share("account", 15)
        self._from_others = share("account", 15)
        self._known: OrderedDict[str, None] = OrderedDict()

    @contextmanager
    def attempt(self, username: str, address: str) -> Iterator[None]:
        """Around the check of a password. Raises Throttled; BadCredentials of the block is a failure."""
        account, pair = _key(username), _key(username, address)
        taken: list[tuple[RateLimit, str]] = []

        def take(limit: RateLimit, key: str) -> None:
            limit.enforce(key)
            taken.append((limit, key))

        def give_back() -> None:
            for limit, key in taken:
                limit.give_back(key)

        try:
            if pair in self._known:
                take(self._from_known, account)
            else:
                take(self._addresses, address)
                if self._fresh.wait_ms(pair) is None and self._from_new.wait_ms(account) is None:
                    take(self._fresh, pair)
                    take(self._from_new, account)
                else:
                    take(self._from_others, account)
            asker.set(address)
            yield
        except BadCredentials:
            raise
        except BaseException:
            give_back()
            raise
        give_back()
        self.succeeded(username, address)

    def succeeded(self, username: str, address: str) -> None:
        """Somebody signed in to this account from this address."""
        pair = _key(username, address)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)


def attempt_key(address: str, name: str) -> str:
    """What attempts at a name from an address are counted by."""
    return _key(name, address)


def _key(username: str, address: str = "") -> str:
    """A key of one length, whatever somebody sends as a name."""
    name = username.lower().encode("utf-8", "surrogatepass")
    return blake2b(name + b"\0" + address.encode("utf-8", "replace"), digest_size=16).hexdigest()
