"""How far the views have come, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from time import monotonic

from commands.errors import Unavailable

logger = logging.getLogger(__name__)

ASK_AFTER_S = 0.1
"""Reports usually come within this; who waits longer asks the views, for reports are hints."""
ASK_EVERY_S = 0.2

MAX_WAITING = 10_000
"""Calls that wait at once in a process; who comes on top of them is told at once that time ran out."""
_FEW = 64
"""So many that gave up may lie among those that wait before they are looked for."""

CONFIRM_S = 1.0
"""Reports may tell of views that are no more. So long one is believed without a look at the views themselves …"""
CONFIRM_WAIT_S = 0.25
"""… and views that do not answer by then are not waited for: who goes on to read them is told so by them …"""
LAG_S = 0.5
"""… whose positions may come so much later than the reports of them."""

Ask = Callable[[], Awaitable[Mapping[int, int]]]


class FoldProgress:
    """Partition → next offset, advanced by the fold's reports. Lives on one event loop.

    `ask` gives the positions that the views have themselves, where reports may be lost; it may raise Unavailable.
    """

    def __init__(self, ask: Ask | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._reached: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[None]]]] = {}
        """Partition → a heap by offset. Who gave up stays in it for a while, see `_leave`."""
        self._given_up: dict[int, int] = {}
        """How many of them."""
        self._tie = count()
        self._ask = ask
        self._pending = 0
        """Calls of `reach` that wait."""
        self._asking: asyncio.Task[None] | None = None
        self._confirming: asyncio.Task[None] | None = None
        self._confirmed_at = -inf
        self._clock = clock
        self._advanced_at: dict[int, float] = {}
        """When a partition was last reported to have come further."""

    def position(self, partition: int) -> int:
        """The next offset of a partition, 0 before the first report."""
        return self._reached.get(partition, 0)

    def known(self) -> list[tuple[int, int]]:
        """(partition, next offset) of those of which anything was reported."""
        return list(self._reached.items())

    def advance(self, partition: int, next_offset: int) -> None:
        """Report that the views have every record below `next_offset`. Reports may be late, so none moves back."""
        if next_offset <= self._reached.get(partition, 0):
            return
        self._reached[partition] = next_offset
        self._advanced_at[partition] = self._clock()
        waiting = self._waiting.get(partition)
        while waiting and waiting[0][0] <= next_offset:
            future = heappop(waiting)[2]
            if future.done():
                self._given_up[partition] -= 1
            else:
                future.set_result(None)
        if waiting is not None and len(waiting) == self._given_up.get(partition, 0):
            del self._waiting[partition]
            self._given_up.pop(partition, None)

    async def reach(self, ends: dict[int, int], timeout_s: float) -> bool:
        """Wait until every partition has reached its offset. False when time ran out, or too many wait already.

        However it ends, nothing of the call is kept for long.
        """
        loop = asyncio.get_running_loop()
        if self._ask is not None and self._clock() >= self._confirmed_at + CONFIRM_S:
            await self._confirm(self._ask, timeout_s)
        missing = {partition: offset for partition, offset in ends.items() if self._reached.get(partition, 0) < offset}
        if not missing:
            return True
        if self._pending >= MAX_WAITING:
            return False
        pending: dict[asyncio.Future[None], int] = {}
        for partition, offset in missing.items():
            future: asyncio.Future[None] = loop.create_future()
            heappush(self._waiting.setdefault(partition, []), (offset, next(self._tie), future))
            pending[future] = partition
        self._pending += 1
        if self._ask is not None and self._asking is None:
            self._asking = loop.create_task(self._ask_while_needed(self._ask))
        try:
            _, late = await asyncio.wait(pending, timeout=timeout_s)
        finally:
            self._pending -= 1
            for future, partition in pending.items():
                if not future.done():
                    future.cancel()
                    self._leave(partition)
        return not late

    async def _confirm(self, ask: Ask, timeout_s: float) -> None:
        """Ask the views themselves, once for all who want to know; where they are away, reports are all there is."""
        if self._confirming is None:
            self._confirming = asyncio.get_running_loop().create_task(self._compare(ask))
        await asyncio.wait([self._confirming], timeout=min(timeout_s, CONFIRM_WAIT_S))

    async def _compare(self, ask: Ask) -> None:
        """Go back where the views have: what was reported a while ago stands in their positions, or they lost it."""
        try:
            began = self._clock()
            reported = {p: offset for p, offset in self._reached.items() if began >= self._advanced_at[p] + LAG_S}
            self._take(await ask(), reported)
        except Unavailable:
            pass  # whoever goes on to read the views is told so by them
        finally:
            self._confirmed_at = self._clock()
            self._confirming = None

    def _take(self, positions: Mapping[int, int], reported: Mapping[int, int]) -> None:
        for partition, offset in reported.items():
            stands = positions.get(partition, 0)
            if stands < offset and self._reached[partition] == offset:
                logger.warning("the views went back from %d:%d to %d", partition, offset, stands)
                self._reached[partition] = stands
        for partition, next_offset in positions.items():
            self.advance(partition, next_offset)

    def _leave(self, partition: int) -> None:
        """Somebody gave up. Those are looked for once they are as many as wait, which costs each of them little."""
        waiting = self._waiting[partition]
        gone = self._given_up[partition] = self._given_up.get(partition, 0) + 1
        if gone == len(waiting):
            del self._waiting[partition], self._given_up[partition]
        elif gone > _FEW and gone * 2 > len(waiting):
            waiting[:] = [entry for entry in waiting if not entry[2].done()]
            heapify(waiting)
            self._given_up[partition] = 0

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
