"""Chats as they were: the log folded anew, by the product's own fold, up to a vector of offsets and no further.

Nothing that is served is asked, so what comes out is what was served then, whatever happened to the views since. A
record that an operator has discarded since then parked its chat at the time, so there the chat ends; one that had been
discarded by then is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from events.codec import Undecodable, decode
from events.log import Position, Record
from events.partitioner import partition_of
from events.types import ChatReleased
from projections.ports import FoldStore
from streams.batch import BatchFold, Discards
from streams.log_reader import LogReader


async def fold_chat(
    reader: LogReader, discards: Discards, store: FoldStore, chat_id: str, ends: Mapping[int, int]
) -> None:
    """Fold one chat from its beginning to its partition's end, exclusive. Reads that partition alone.

    Raises Unavailable, LogMismatch.
    """
    partition = partition_of(chat_id, reader.partitions)
    known = _as_of(reader, await discards.all(), partition, ends[partition])
    fold = BatchFold(store, discards=known)
    for batch in reader.batches(partition, 0, known.ends.get(chat_id, ends[partition]), chat_id):
        await _fold(fold, store, batch)


async def fold_chats_of(
    reader: LogReader, discards: Discards, store: FoldStore, user_id: str, ends: Mapping[int, int]
) -> None:
    """Fold every chat that this user ever had to do with. Reads the log twice, and keeps those chats alone.

    Raises Unavailable, LogMismatch.
    """
    discarded = await discards.all()
    for partition, end in ends.items():
        chats = _chats_naming(reader, user_id, partition, end)
        if not chats:
            continue
        known = _as_of(reader, discarded, partition, end)
        fold = BatchFold(store, discards=known)
        for batch in reader.batches(partition, 0, end):
            own = [
                record for record in batch if record.key in chats and record.offset < known.ends.get(record.key, end)
            ]
            if own:
                await _fold(fold, store, own)


@dataclass(frozen=True, slots=True)
class _Discarded:
    """Discards as of an end. `ends`: where chats ended then that stood still at a record discarded only later."""

    positions: frozenset[Position]
    ends: Mapping[str, int]

    async def all(self) -> Collection[Position]:
        return self.positions


def _as_of(reader: LogReader, discarded: Collection[Position], partition: int, end: int) -> _Discarded:
    positions: set[Position] = set()
    ends: dict[str, int] = {}
    for position in sorted(discarded):
        if position.partition != partition or position.offset >= end:
            continue
        [record] = reader.records(partition, position.offset, 1)
        if _is_released(reader, record, end):
            positions.add(position)
        else:
            ends.setdefault(record.key, record.offset)
    return _Discarded(frozenset(positions), ends)


def _is_released(reader: LogReader, record: Record, end: int) -> bool:
    """Whether its chat goes on without this record before `end`."""
    for batch in reader.batches(record.partition, record.offset + 1, end, record.key):
        for later in batch:
            try:
                data = decode(later.value).event.data
            except Undecodable:
                continue
            if isinstance(data, ChatReleased) and record.offset in data.discarded:
                return True
    return False


def _chats_naming(reader: LogReader, user_id: str, partition: int, end: int) -> Collection[str]:
    """Chats with a record in which the id stands, by whatever name: more than those that the user is in."""
    name = user_id.encode()
    return {record.key for batch in reader.batches(partition, 0, end) for record in batch if name in record.value}


async def _fold(fold: BatchFold, store: FoldStore, records: Sequence[Record]) -> None:
    while records:
        changes = await fold.fold(records)
        await store.apply(changes)
        records = [record for record in records if record.offset >= changes.next_offset]
