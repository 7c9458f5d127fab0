"""Where records go that cannot be folded, and those after them in their chat: kept, with the reason, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from projections.ports import Parked


class DeadLetters(Protocol):
    async def put(self, parked: Sequence[Parked]) -> None:
        """Return once all of them are stored durably. Repeats are possible: a record is known by its position.
        Raises Unavailable."""
