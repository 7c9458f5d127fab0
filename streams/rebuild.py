"""Folding a log up to a position and no further: what rebuilding and comparing views need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from commands.errors import Unavailable
from events.log import Record
from projections.fold import Memory
from projections.ports import FoldStore
from streams.batch import BatchFold, Discards

MAX_BATCH = 500


class RecordSource(Protocol):
    """The reading side of a log."""

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """Up to `limit` durable records from `offset` on; empty at the end. Raises Unavailable."""


class EndedSource(RecordSource, Protocol):
    async def end(self) -> dict[int, int]:
        """Partition → the offset after the last durable record. Raises Unavailable."""


def _nobody_listens(folded: int) -> None: ...


async def fold_up_to(
    log: RecordSource,
    store: FoldStore,
    ends: Mapping[int, int],
    report: Callable[[int], None] = _nobody_listens,
    *,
    batch: int = MAX_BATCH,
    memory: Memory | None = None,
    discards: Discards | None = None,
) -> int:
    """Fold each partition from the store's position to exactly its end, exclusive; `report` hears after each batch
    how many records that was. Memory does not grow with the log. Gives the number of records. Raises Unavailable.
    """
    total = 0
    for partition, end in ends.items():
        fold = BatchFold(store, memory, discards)
        offset = (await store.positions()).get(partition, 0)
        while offset < end:
            records = await log.read(partition, offset, min(batch, end - offset))
            if not records:
                raise Unavailable(f"the log has no record at {partition}:{offset}")
            changes = await fold.fold(records)
            await store.apply(changes)
            # Embedded adapters may never wait, and whoever wants to interrupt has to have a turn.
            await asyncio.sleep(0)
            total += changes.next_offset - offset
            report(changes.next_offset - offset)
            offset = changes.next_offset
    return total


async def catch_up(log: EndedSource, store: FoldStore) -> int:
    """Fold everything up to the log's end as of now; gives the number of records. Raises Unavailable."""
    return await fold_up_to(log, store, await log.end())
