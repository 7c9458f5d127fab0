"""The log as tools read it: beside whoever writes it, from any offset, without taking part in anything.

Times are the log's append times. A time stands for one offset in each partition, and so does every other way of naming
a place in the log (`streams/span.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Protocol

from events.log import Record

Offsets = Mapping[int, int]
"""Partition → offset."""


class NoLog(Exception):
    """There is no log where the settings say."""


class LogReader(Protocol):
    """Its calls block. One thread at a time; those of `read` may overlap. All raise Unavailable while the log is away,
    and LogMismatch where it does not reach back to what was asked for."""

    partitions: int
    incarnation: str
    """As `EventLog.incarnation`."""

    def ends(self) -> dict[int, int]:
        """Partition → the offset after its last durable record, as of now."""

    def records(self, partition: int, offset: int, limit: int) -> list[Record]:
        """Durable records from `offset` on, in order: up to `limit`, or fewer where those are large; empty at the
        end alone."""

    def batches(self, partition: int, offset: int, end: int, key: str | None = None) -> Iterator[Sequence[Record]]:
        """All records of a partition from `offset` to `end`, exclusive, in order, in memory that does not grow with
        their number; with `key` those of that chat alone. Nothing is held in the log between two batches."""

    def offsets_at(self, at_ms: int) -> dict[int, int]:
        """Partition → the offset of the first record that was appended at `at_ms` (since 1970) or later: the end
        where there is none yet."""

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        """As `records`, without holding up the event loop for long: what folds ask for."""

    def close(self) -> None: ...


def in_order_of_time(reader: LogReader, begins: Offsets, ends: Offsets, key: str | None = None) -> Iterator[Record]:
    """The records of all partitions in `begins`, from there to `ends`, in the order in which they were appended, as
    far as clocks tell. Raises as the reader does."""

    def one(partition: int) -> Iterator[Record]:
        for batch in reader.batches(partition, begins[partition], ends[partition], key):
            yield from batch

    runs = [one(partition) for partition in begins]
    return runs[0] if len(runs) == 1 else merge(*runs, key=lambda record: record.timestamp_ms)
