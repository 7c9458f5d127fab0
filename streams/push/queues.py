"""The topics of notifications and retries, as queues: who holds a partition takes from it in order."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Item(NamedTuple):
    offset: int
    key: str
    value: bytes


class Queue(Protocol):
    """One topic."""

    async def put(self, partition: int, items: Sequence[tuple[str, bytes]]) -> None:
        """Add (key, value) in this order; return when all are stored durably. Raises Unavailable: then any of them
        may be, or none."""

    async def tail(self, partition: int, limit: int) -> Sequence[Item]:
        """Up to so many that were put last, done or not, oldest first. Raises Unavailable."""


class Held(Protocol):
    """A partition in the hands of its one holder. All methods raise Unavailable."""

    partition: int
    closing: bool
    """Somebody else is to hold it: finish what is under way, and return."""

    async def before(self, limit: int) -> Sequence[Item]:
        """Up to so many of those that are done already, the newest of them, oldest first. Call it before `take`."""

    async def take(self, limit: int) -> Sequence[Item]:
        """What comes next, once there is something; empty when `closing`. Each item once for each holding."""

    async def done(self, offset: int) -> None:
        """All below `offset` are done: no holder takes them again."""


class Holder(Protocol):
    async def hold(self, works: Mapping[str, Callable[[Held], Coroutine[Any, Any, None]]]) -> None:
        """Topic → what to do with each partition of it. Runs until cancelled; among all holders of the installation
        a partition has one at a time. Raises what a work raises."""
