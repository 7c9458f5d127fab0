"""The queue and the task of one assigned partition."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from events.log import Record
from streams.partition import FellBack, Gap, PartitionFold

logger = logging.getLogger(__name__)

MAX_BATCH = 500
"""Records folded at once: what came in meanwhile is put together."""
MAX_WAITING = 2_000
"""Records that may wait for their turn before no more are taken."""

Done = Callable[[], object]


class Slot:
    """From assignment to revocation. `seek(offset)` makes the consumer give the partition's records from there on."""

    def __init__(
        self,
        fold: PartitionFold,
        seek: Callable[[int], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` hears of what must end the worker: views of another log, or a defect."""
        self.fold = fold
        self.ready = asyncio.Event()
        self._seek = seek
        self._failed = failed
        self._waiting: deque[tuple[Sequence[Record], Done]] = deque()
        self._size = 0
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._is_behind = False
        self._folding_ms: int | None = None
        """When the log took the oldest record of the batch that is being folded."""
        self._task = asyncio.create_task(self._run(), name=f"partition {fold.partition}")

    async def put(self, records: Sequence[Record], done: Done) -> None:
        """Queue a batch; `done` is called when the views have it. Waits while too much is queued."""
        await self._room.wait()
        if self._closing or not self.ready.is_set():
            # Fetched from wherever the consumer stood before: it is sent to the right place, or to nobody any more.
            return
        self._waiting.append((records, done))
        self._size += len(records)
        self._came.set()
        if self._size >= MAX_WAITING:
            self._room.clear()

    @property
    def oldest_ms(self) -> int | None:
        """When the log took the oldest record that is here and that the views do not have; None where none is."""
        if self._folding_ms is not None or not self._waiting:
            return self._folding_ms
        return self._waiting[0][0][0].timestamp_ms

    async def again(self) -> None:
        """Fetch anew from where the views stand, in case something was lost on the way. Harmless if not."""
        if self.ready.is_set() and not self._waiting:
            await self._seek(self.fold.next_offset)

    def begin_again(self) -> None:
        """Take the partition over anew: the views do not have the position that was last given to them."""
        self._is_behind = True
        self._came.set()

    async def close(self, patience_s: float) -> None:
        """Finish the batch that is under way, if it takes no longer than that, and drop the rest."""
        self._closing = True
        self._waiting.clear()
        self._room.set()
        self._came.set()
        _, late = await asyncio.wait([self._task], timeout=patience_s)
        if late:
            logger.warning(
                "partition %d is given up in the middle of a batch",
                self.fold.partition,
                extra={"partition": self.fold.partition},
            )
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while not self._closing:
                self._is_behind = False
                await self._seek(await self.fold.take_over())
                self.ready.set()
                try:
                    while not self._closing:
                        await self._came.wait()
                        if self._is_behind:
                            raise FellBack(f"the position of partition {self.fold.partition} is behind its views")
                        await self._fold_some()
                except FellBack as error:
                    logger.error("%s", error, extra={"partition": self.fold.partition})
                    self.ready.clear()
                    self._drop()
        except Exception as error:
            if self._closing:
                logger.warning(
                    "partition %d is handed over after an error",
                    self.fold.partition,
                    exc_info=True,
                    extra={"partition": self.fold.partition},
                )
            else:
                self._failed(error)

    async def _fold_some(self) -> None:
        records: list[Record] = []
        callbacks: list[Done] = []
        while self._waiting and (not records or len(records) + len(self._waiting[0][0]) <= MAX_BATCH):
            some, done = self._waiting.popleft()
            records += some
            callbacks.append(done)
        self._size -= len(records)
        if not self._waiting:
            self._came.clear()
        if self._size < MAX_WAITING:
            self._room.set()
        if self._closing or not records:
            return
        self._folding_ms = records[0].timestamp_ms
        try:
            await self.fold.fold(records)
        except Gap as gap:
            logger.info(
                "partition %d is fetched anew: %s", self.fold.partition, gap, extra={"partition": self.fold.partition}
            )
            self._drop()
            await self._seek(gap.next_offset)
            return
        finally:
            self._folding_ms = None
        for done in callbacks:
            done()

    def _drop(self) -> None:
        self._waiting.clear()
        self._size = 0
        self._came.clear()
        self._room.set()
