"""The store that all gateways write their users' presence to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

SessionStatus = Literal["online", "away"]
Status = Literal["online", "away", "offline"]

BEAT_S = 10.0
"""A gateway says this often that it is alive."""
ALIVE_S = 25.0
"""One that was silent for longer has crashed. With the sweep, its users are offline for everybody within 60 s."""
SWEEP_S = 30.0
TTL_S = 1_800.0
"""The backstop: a status that nobody renews is forgotten after 30 minutes, whatever else went wrong."""


@dataclass(frozen=True, slots=True)
class Seen:
    """`last_seen` is None for somebody who never was; while present it is the latest sign of life."""

    status: Status
    last_seen: datetime | None


class Presence(Protocol):
    """A user may be present at several gateways; any that says online beats one that says away.

    All methods raise Unavailable when the store is away.
    """

    async def beat(self, gateway_id: str, alive_s: float = ALIVE_S) -> bool:
        """The gateway lives, and is taken to live for this long. What a silent gateway said does not count: false
        if this one was taken for silent until now, or is not known, so that it should say everything again."""

    async def put(self, gateway_id: str, states: Mapping[str, SessionStatus]) -> None:
        """What these users are at this gateway, for the next 30 minutes."""

    async def drop(self, gateway_id: str, user_ids: Collection[str]) -> None:
        """These users have no session at this gateway any more; it was seeing them until now."""

    async def query(self, user_ids: Collection[str]) -> dict[str, Seen]:
        """An answer for every one of them."""

    async def sweep(self) -> list[str]:
        """Forget what silent gateways said and what nobody renewed; the users whose status that may change."""
