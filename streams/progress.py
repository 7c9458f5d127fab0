"""How far the views have come, and who waits for it."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count


class FoldProgress:
    """Partition → next offset, advanced by the fold's reports. Lives on one event loop."""

    def __init__(self) -> None:
        self._reached: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._tie = count()

    def position(self, partition: int) -> int:
        """The next offset of a partition, 0 before the first report."""
        return self._reached.get(partition, 0)

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
        _, late = await asyncio.wait(pending, timeout=timeout_s)
        for future in late:
            future.cancel()
        return not late
