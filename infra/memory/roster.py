"""Who runs, in one process: itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from api.operations import ALIVE_S, Process


class MemoryRoster:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._told: dict[str, tuple[Process, datetime]] = {}

    async def tell(self, process: Process) -> None:
        self._told[process.name] = process, self._now()

    async def all(self) -> list[Process]:
        since = self._now() - timedelta(seconds=ALIVE_S)
        return [process for _, (process, at) in sorted(self._told.items()) if at >= since]
