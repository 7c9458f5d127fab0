"""Chats as they were: the log folded anew, by the product's own fold, up to a vector of offsets and no further.

Nothing that is served is asked, so what comes out is what was served then, whatever happened to the views since.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from events.log import Record
from events.partitioner import partition_of
from projections.ports import FoldStore
from streams.batch import BatchFold
from streams.log_reader import LogReader


async def fold_chat(reader: LogReader, store: FoldStore, chat_id: str, ends: Mapping[int, int]) -> None:
    """Fold one chat from its beginning to its partition's end, exclusive. Reads that partition alone.

    Raises Unavailable, LogMismatch.
    """
    partition = partition_of(chat_id, reader.partitions)
    fold = BatchFold(store)
    for batch in reader.batches(partition, 0, ends[partition], chat_id):
        await _fold(fold, store, batch)


async def fold_chats_of(reader: LogReader, store: FoldStore, user_id: str, ends: Mapping[int, int]) -> None:
    """Fold every chat that this user ever had to do with. Reads the log twice, and keeps those chats alone.

    Raises Unavailable, LogMismatch.
    """
    for partition, end in ends.items():
        chats = _chats_naming(reader, user_id, partition, end)
        if not chats:
            continue
        fold = BatchFold(store)
        for batch in reader.batches(partition, 0, end):
            own = [record for record in batch if record.key in chats]
            if own:
                await _fold(fold, store, own)


def _chats_naming(reader: LogReader, user_id: str, partition: int, end: int) -> Collection[str]:
    """Chats with a record in which the id stands, by whatever name: more than those that the user is in."""
    name = user_id.encode()
    return {record.key for batch in reader.batches(partition, 0, end) for record in batch if name in record.value}


async def _fold(fold: BatchFold, store: FoldStore, records: Sequence[Record]) -> None:
    while records:
        changes = await fold.fold(records)
        await store.apply(changes)
        records = [record for record in records if record.offset >= changes.next_offset]
