"""How many chats are made, and how often people are put into chats by others: what one process lets happen.

Whoever is put into a chat need not agree, so it is limited for each of them too, whoever does it. Far fewer may come
from any one person, so that nobody can use up alone what all others have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from api.errors import Throttled
from api.ratelimit import RateLimit

_HOUR_S = 3600
ADDED_PER_HOUR = 20_000
"""People that one user puts into chats: some groups of the largest size."""
_SHARE = 4
"""One user has at most this part of what others may do to somebody."""


class Approaches:
    """Limits by who makes a chat or adds people, and by whom that happens to."""

    def __init__(self, clock: Callable[[], float], *, chats_per_hour: int, approaches_per_hour: int) -> None:
        pair = max(1, approaches_per_hour // _SHARE)
        self._chats = RateLimit("chats", chats_per_hour / _HOUR_S, chats_per_hour, clock)
        self._added = RateLimit("added", ADDED_PER_HOUR / _HOUR_S, ADDED_PER_HOUR, clock)
        self._pairs = RateLimit("approaches", pair / _HOUR_S, pair, clock)
        self._people = RateLimit("approaches", approaches_per_hour / _HOUR_S, approaches_per_hour, clock)

    def make_chat(self, actor_id: str) -> None:
        """The user makes a chat. Raises Throttled."""
        self._chats.enforce(actor_id)

    def bring(self, actor_id: str, user_ids: Collection[str]) -> None:
        """The user puts these people, who exist, into a chat. Raises Throttled, and then nothing was counted."""
        others = [user_id for user_id in user_ids if user_id != actor_id]
        wait_ms = self._added.wait_ms(actor_id, len(others))
        if wait_ms is not None:
            raise Throttled("you have added too many people", wait_ms, self._added.headers(actor_id))
        for user_id in others:
            pair = f"{actor_id} {user_id}"
            wait_ms = max(self._pairs.wait_ms(pair) or 0, self._people.wait_ms(user_id) or 0)
            if wait_ms:
                detail = "one of these people has been put into too many chats lately"
                raise Throttled(detail, wait_ms, self._pairs.headers(pair))
        self._added.take(actor_id, len(others))
        for user_id in others:
            self._pairs.take(f"{actor_id} {user_id}")
            self._people.take(user_id)
