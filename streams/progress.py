"""How far the views have come, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from heapq import heappop, heappush
from itertools import count

from commands.errors import Unavailable

ASK_AFTER_S = 0.1
"""Reports usually come within this; who waits longer asks the views, for reports are hints."""
ASK_EVERY_S = 0.2

Ask = Callable[[], Awaitable[Mapping[int, int]]]


class FoldProgress:
    """Partition → next offset, advanced by the fold's reports. Lives on one event loop.

    `ask` gives the positions that the views have themselves, where reports may be lost; it may raise Unavailable.
    """

    def __init__(self, ask: Ask | None = None) -> None:
        self._reached: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._tie = count()
        self._ask = ask
        self._pending = 0
        """Calls of `reach` that wait."""
        self._asking: asyncio.Task[None] | None = None

    def position(self, partition: int) -> int:
        """The next offset of a partition, 0 before the first report."""
        return self._reached.get(partition, 0)

    def known(self) -> list[tuple[int, int]]:
        """(partition, next offset) of those of which anything was reported."""
        return list(self._reached.items())

    def advance(self, partition: int, next_offset: int) -> None:
        """Report that the views have every record below `next_offset`. Never moves back."""
        if next_offset <= self._reached.get(partition, 0):
            return
        self._reached[partition] = next_offset
        waiting = self._waiting.get(partition)
        while waiting and waiting[0][0] <= next_offset:
            future = heappop(waiting)[2]
            if not future.done():
                future.set_result(None)

    async def reach(self, ends: dict[int, int], timeout_s: float) -> bool:
        """Wait until every partition has reached its offset. False when time ran out."""
        loop = asyncio.get_running_loop()
        pending: list[asyncio.Future[None]] = []
        for partition, offset in ends.items():
            if self._reached.get(partition, 0) < offset:
                future: asyncio.Future[None] = loop.create_future()
                heappush(self._waiting.setdefault(partition, []), (offset, next(self._tie), future))
                pending.append(future)
        if not pending:
            return True
        self._pending += 1
        if self._ask is not None and self._asking is None:
            self._asking = loop.create_task(self._ask_while_needed(self._ask))
        try:
            _, late = await asyncio.wait(pending, timeout=timeout_s)
        finally:
            self._pending -= 1
            for future in pending:
                future.cancel()
        return not late

    async def _ask_while_needed(self, ask: Ask) -> None:
        """One question at a time, for all who wait."""
        try:
            await asyncio.sleep(ASK_AFTER_S)
            while self._pending:
                try:
                    for partition, next_offset in (await ask()).items():
                        self.advance(partition, next_offset)
                except Unavailable:
                    pass  # whoever waits is told by the end of their patience
                await asyncio.sleep(ASK_EVERY_S)
        finally:
            self._asking = None
