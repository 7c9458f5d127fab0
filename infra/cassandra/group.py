"""Writes of several partitions put together: what a request costs, client and server share among all of them.

While one group is being written, the next one gathers, as in the group commit of a database. A busy worker so sends
some large batches instead of many small ones, and an idle one waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import chain

from infra.cassandra.serialise import Serialiser, Unit
from projections.ports import Changes

logger = logging.getLogger(__name__)

POSITION_DELAY_S = 0.05
"""For workers."""

Write = Callable[[Iterable[Unit]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    changes: Changes
    done: asyncio.Future[None]


class GroupWriter:
    """Lives on one event loop.

    Positions may come later than the rows and heads that they speak of, by so much as `position_delay_s`: they ride
    with the heads of the next group, or go alone where none comes. What is lost of them in a crash is folded again, to
    no effect. After any failure they are dropped and not repeated: a store that was away may have lost what they speak
    of. Whose they were is to fold again from the position that the store has.
    """

    def __init__(
        self,
        write: Write,
        on_disk: Callable[[], Awaitable[None]],
        serialiser: Serialiser,
        position_delay_s: float,
        dropped: Callable[[Collection[int]], None] | None = None,
    ) -> None:
        """`on_disk` returns when no loss of power can undo what `write` has returned from.

        With a delay of 0 `apply` returns when the position is written too. `dropped` is told the partitions of
        positions that were owed and are not any more.
        """
        self._write = write
        self._on_disk = on_disk
        self._serialiser = serialiser
        self._position_delay_s = position_delay_s
        self._dropped = dropped
        self._waiting: list[_Waiting] = []
        self._owed: dict[int, Changes] = {}
        """Partition → changes that are written but for their position."""
        self._settling: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def apply(self, changes: Changes) -> None:
        """Return when a quorum has rows and heads, in this order. Raises Unavailable."""
        waiting = _Waiting(changes, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="writes to Cassandra")
        await waiting.done

    async def settle(self) -> None:
        """Return when the positions that are owed now are written, or given up."""
        if self._owed:
            settled = asyncio.get_running_loop().create_future()
            self._settling.append(settled)
            self._wake.set()
            await settled

    def _owe(self, group: Iterable[Changes] = ()) -> None:
        """These from now on, and no others any more."""
        self._owed = {changes.partition: changes for changes in group}
        self._tell_settled()

    def _drop(self, error: Exception) -> None:
        if not self._owed:
            return
        partitions, self._owed = list(self._owed), {}
        logger.warning("positions of partitions %s did not get into the views: %s", partitions, error)
        if self._dropped is not None:
            self._dropped(partitions)
        self._tell_settled()

    def _tell_settled(self) -> None:
        for settled in self._settling:
            if not settled.done():
                settled.set_result(None)
        self._settling.clear()

    async def _run(self) -> None:
        while self._waiting or self._owed:
            if not self._waiting:
                await self._moment()
            group, self._waiting = self._waiting, []
            self._wake.clear()
            try:
                await self._carry_out([each.changes for each in group])
            except Exception as error:
                self._drop(error)
                if len(group) == 1:
                    _fail(group[0], error)
                else:
                    # Whatever one of them is to blame for, others need not wait for.
                    for each in group:
                        await self._alone(each)
            else:
                for each in group:
                    if not each.done.done():
                        each.done.set_result(None)

    async def _moment(self) -> None:
        """Wait for somebody with whom the positions can go."""
        try:
            async with asyncio.timeout(self._position_delay_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _alone(self, waiting: _Waiting) -> None:
        try:
            await self._carry_out([waiting.changes])
        except Exception as error:
            self._drop(error)
            _fail(waiting, error)
        else:
            if not waiting.done.done():
                waiting.done.set_result(None)

    async def _carry_out(self, group: list[Changes]) -> None:
        """Nothing is written before what it speaks of is on the disk."""
        its, owed = self._serialiser, list(self._owed.values())
        await self._write(chain.from_iterable(map(its.rows, group)))
        await self._on_disk()
        await self._write(chain(map(its.position, owed), *map(its.heads, group)))
        self._owe()
        if any(changes.released for changes in group):
            await self._on_disk()
            await self._write(chain.from_iterable(map(its.released, group)))
        if self._position_delay_s:
            self._owe(group)
        else:
            await self._on_disk()
            await self._write(map(its.position, group))


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
