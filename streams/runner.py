"""The embedded stream runner: one loop per partition from the log through the fold to the views and fan-out."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter

from commands.errors import Unavailable
from commands.ports import EventLog
from projections.ports import Changes, FoldStore
from streams.batch import BatchFold
from streams.measures import FoldMeasures
from streams.ports import Fanout

logger = logging.getLogger(__name__)

MAX_BATCH = 256
"""Records per batch: some 10 ms on the event loop."""
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class Runner:
    """Folds every partition of a log into one generation of views, for ever.

    Each partition starts from the views' own position, never from anything remembered elsewhere. While a store
    is away it waits and begins again from the position; a record is parked only when it cannot be folded.
    """

    def __init__(
        self,
        log: EventLog,
        store: FoldStore,
        fanout: Fanout | None = None,
        *,
        max_batch: int = MAX_BATCH,
        measures: FoldMeasures | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._fanout = fanout
        self._max_batch = max_batch
        self.measures = measures or FoldMeasures()

    async def run(self) -> None:
        """Follow all partitions until cancelled. Raises LogMismatch if the views belong to another log."""
        async with asyncio.TaskGroup() as tasks:
            for partition in range(self._log.partitions):
                tasks.create_task(self._follow(partition))

    async def catch_up(self) -> int:
        """Fold everything up to the log's end as of now; gives the number of records folded. For rebuilds."""
        ends = await self._log.end()
        folded = 0
        for partition, end in ends.items():
            fold = BatchFold(self._store)
            offset = (await self._store.positions()).get(partition, 0)
            while offset < end:
                changes = await self._step(fold, partition, offset)
                folded += changes.next_offset - offset
                offset = changes.next_offset
        return folded

    async def _follow(self, partition: int) -> None:
        fold = BatchFold(self._store)
        failures = 0
        while True:
            try:
                fold.forget()
                offset = (await self._store.positions()).get(partition, 0)
                if self._fanout is not None:
                    await self._fanout.publish(Changes(partition, offset))
                while True:
                    await self._log.wait(partition, offset)
                    offset = (await self._step(fold, partition, offset)).next_offset
                    failures = 0
                    self.measures.waiting.discard(partition)
            except Unavailable:
                pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                self.measures.waiting.add(partition)
                logger.warning("partition %d waits for its store (%d)", partition, failures, exc_info=True)
                await asyncio.sleep(pause)

    async def _step(self, fold: BatchFold, partition: int, offset: int) -> Changes:
        records = await self._log.read(partition, offset, self._max_batch)
        if not records:
            raise Unavailable(f"the log has no record at {partition}:{offset}")
        # Embedded adapters may never wait: between batches it is everybody else's turn.
        await asyncio.sleep(0)
        started = perf_counter()
        changes = await fold.fold(records)
        folded = perf_counter()
        await self._store.apply(changes)
        self.measures.note(records, changes, started, folded, perf_counter())
        if self._fanout is not None:
            await self._fanout.publish(changes)
        return changes
