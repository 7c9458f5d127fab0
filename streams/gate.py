"""Who may have effects beside its views: of all generations that are folded, only the served one."""

from __future__ import annotations

from typing import Protocol

from projections.ports import Changes


class Publisher(Protocol):
    async def publish(self, changes: Changes) -> None:
        """As `Fanout.publish`."""


class Notes(Protocol):
    """Where the fold notes what people who are away should hear of."""

    async def take_over(self, partition: int) -> None:
        """Before the first batch after an assignment or a failure. Raises Unavailable."""

    async def notify(self, changes: Changes) -> None:
        """Return when the notes of this batch, which no view has yet, are durable. Raises Unavailable."""


class Gate:
    """One for a process that folds several generations."""

    def __init__(self, fanout: Publisher, served: int, notes: Notes | None = None) -> None:
        self.fanout = fanout
        self.notes = notes
        self.served = served

    def of(self, generation: int) -> Way:
        """The ways out for a generation's fold."""
        return Way(self, generation)


class Way:
    """A Publisher and Notes: open while its generation is the served one."""

    def __init__(self, gate: Gate, generation: int) -> None:
        self._gate = gate
        self._generation = generation

    async def publish(self, changes: Changes) -> None:
        if self._is_open:
            await self._gate.fanout.publish(changes)

    async def take_over(self, partition: int) -> None:
        if self._is_open and self._gate.notes is not None:
            await self._gate.notes.take_over(partition)

    async def notify(self, changes: Changes) -> None:
        if self._is_open and self._gate.notes is not None:
            await self._gate.notes.notify(changes)

    @property
    def _is_open(self) -> bool:
        return self._generation == self._gate.served
