"""Who may speak to the gateways: of all generations that are folded, only the served one."""

from __future__ import annotations

from typing import Protocol

from projections.ports import Changes


class Publisher(Protocol):
    async def publish(self, changes: Changes) -> None:
        """As `Fanout.publish`."""


class Gate:
    """One for a process that folds several generations."""

    def __init__(self, fanout: Publisher, served: int) -> None:
        self._fanout = fanout
        self.served = served

    def of(self, generation: int) -> Publisher:
        """The way out for a generation's fold."""
        return _Way(self, generation)

    async def publish(self, generation: int, changes: Changes) -> None:
        if generation == self.served:
            await self._fanout.publish(changes)


class _Way:
    def __init__(self, gate: Gate, generation: int) -> None:
        self._gate = gate
        self._generation = generation

    async def publish(self, changes: Changes) -> None:
        await self._gate.publish(self._generation, changes)
