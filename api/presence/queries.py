"""Asking for the presence of many, as HTTP and sockets do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from api.presence.acquaintance import Acquaintance
from api.presence.port import Presence, Seen
from api.render import rfc3339
from events.ids import unix_us

MAX_USERS = 1_000

NOT_TOLD = Seen("offline", None)


class PresenceShape(msgspec.Struct, frozen=True, gc=False):
    user_id: str
    status: Literal["online", "away", "offline"]
    last_seen: str | None


def presence_shape(user_id: str, seen: Seen) -> PresenceShape:
    last_seen = None if seen.last_seen is None else rfc3339(unix_us(seen.last_seen))
    return PresenceShape(user_id, seen.status, last_seen)


class PresenceQueries:
    """Who is strangers with the caller reads as offline, and as never seen."""

    def __init__(self, store: Presence, acquaintance: Acquaintance) -> None:
        self._store = store
        self._acquaintance = acquaintance

    async def query(self, caller_id: str, user_ids: Collection[str]) -> list[PresenceShape]:
        """One answer for each id, in the order asked. The caller bounds the number. Raises Unavailable."""
        wanted = dict.fromkeys(user_ids)
        known = await self._acquaintance.of(caller_id, wanted)
        seen = await self._store.query(known) if known else {}
        return [presence_shape(user_id, seen.get(user_id, NOT_TOLD)) for user_id in wanted]
