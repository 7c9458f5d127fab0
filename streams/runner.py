"""The embedded stream runner: one loop per partition from the log through the fold to the views and fan-out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import perf_counter

from commands.errors import Unavailable
from commands.ports import EventLog
from projections.ports import Changes, FoldStore
from streams.batch import BatchFold, Discards
from streams.gate import Notes, Publisher
from streams.measures import FoldMeasures

logger = logging.getLogger(__name__)

MAX_BATCH = 256
"""Records per batch: some 10 ms on the event loop."""
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class Runner:
    """Folds partitions of a log into one generation of views, for ever.

    Each partition starts from the views' own position, never from anything remembered elsewhere. While a store
    is away it waits and begins again from the position; a record is parked only when it cannot be folded.
    """

    def __init__(
        self,
        log: EventLog,
        store: FoldStore,
        fanout: Publisher | None = None,
        notifier: Notes | None = None,
        *,
        max_batch: int = MAX_BATCH,
        measures: FoldMeasures | None = None,
        partitions: Iterable[int] | None = None,
        discards: Discards | None = None,
    ) -> None:
        """`fanout` and `notifier`: the ways out, which are for the generation that is served. `partitions`: those to
        fold; None: all."""
        mine = list(range(log.partitions) if partitions is None else partitions)
        self._log = log
        self._store = store
        self._fanout = fanout
        self._notifier = notifier
        self._max_batch = max_batch
        self.measures = measures or FoldMeasures()
        self._folds = {partition: BatchFold(store, discards=discards) for partition in mine}
        self.turns = {partition: asyncio.Lock() for partition in mine}
        """Whoever holds a partition's turn has it between two batches."""
        self.positions: dict[int, int] = {}
        """Partition → the offset up to which the views have everything, as far as this runner knows."""

    async def run(self) -> None:
        """Follow its partitions until cancelled. Raises LogMismatch if the views belong to another log."""
        async with asyncio.TaskGroup() as tasks:
            for partition in self._folds:
                tasks.create_task(self._follow(partition))

    async def step_to(self, partition: int, offset: int) -> None:
        """Fold up to exactly this offset, which the log has, in the partition's turn. Raises Unavailable."""
        while self.positions[partition] < offset:
            await self._step(partition, min(self._max_batch, offset - self.positions[partition]))

    async def _follow(self, partition: int) -> None:
        failures = 0
        while True:
            try:
                async with self.turns[partition]:
                    self._folds[partition].forget()
                    offset = (await self._store.positions()).get(partition, 0)
                    if self._notifier is not None:
                        await self._notifier.take_over(partition)
                    self.positions[partition] = offset
                    if failures and offset >= (await self._log.end()).get(partition, 0):
                        self.measures.waiting.discard(partition)
                    if self._fanout is not None:
                        await self._fanout.publish(Changes(partition, offset))
                while True:
                    waited_at = self.positions[partition]
                    await self._log.wait(partition, waited_at)
                    async with self.turns[partition]:
                        # Else `step_to` was here meanwhile.
                        if self.positions[partition] == waited_at:
                            await self._step(partition, self._max_batch)
                    failures = 0
                    self.measures.waiting.discard(partition)
            except Unavailable as error:
                pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                self.measures.waiting.add(partition)
                logger.warning("partition %d waits for its store (%d): %s", partition, failures, error)
                await asyncio.sleep(pause)

    async def _step(self, partition: int, limit: int) -> None:
        offset = self.positions[partition]
        records = await self._log.read(partition, offset, limit)
        if not records:
            raise Unavailable(f"the log has no record at {partition}:{offset}")
        # Embedded adapters may never wait: between batches it is everybody else's turn.
        await asyncio.sleep(0)
        started = perf_counter()
        changes = await self._folds[partition].fold(records)
        folded = perf_counter()
        if self._notifier is not None:
            await self._notifier.notify(changes)
        await self._store.apply(changes)
        self.measures.note(records, changes, started, folded, perf_counter())
        self.positions[partition] = changes.next_offset
        if self._fanout is not None:
            await self._fanout.publish(changes)
