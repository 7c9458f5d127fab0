"""Running a read model of one's own: backfilled from position 0, then live.

Rows and position are written together, so a crash repeats work and changes nothing. While a partition has not passed
the log's end as it was at the start, what the model tells is muted: nobody hears of what happened long ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from events.codec import Undecodable, decode
from events.log import Record
from projections.models.port import ReadModel, Rows
from streams.log_reader import LogReader


class ModelStore(Protocol):
    """The rows of one version of a model, with its positions."""

    def positions(self) -> dict[int, int]:
        """Partition → next offset."""

    def batch(self, partition: int, next_offset: int) -> AbstractContextManager[Rows]:
        """Rows of a partition to change; on leaving they are durable together with the position, or none is."""


class ModelRunner:
    """One model over one log. Blocks."""

    def __init__(self, reader: LogReader, model: ReadModel, store: ModelStore, tell: Callable[[str], None]) -> None:
        self._reader = reader
        self._model = model
        self._store = store
        self._tell = tell
        self._live_from = reader.ends()
        self.muted = 0

    def catch_up(self) -> Iterator[int]:
        """Fold up to the log's end as of now; gives how many records after each batch. Raises Unavailable."""
        positions = self._store.positions()
        for partition, end in self._reader.ends().items():
            for batch in self._reader.batches(partition, positions.get(partition, 0), end):
                self._fold(partition, batch)
                yield len(batch)

    def _fold(self, partition: int, batch: Sequence[Record]) -> None:
        told: list[str] = []
        with self._store.batch(partition, batch[-1].offset + 1) as rows:
            for record in batch:
                try:
                    event = decode(record.value).event
                except Undecodable:
                    continue  # the product's own fold parks it and says so
                lines = list(self._model.fold(rows, record, event))
                if record.offset >= self._live_from[partition]:
                    told += lines
                else:
                    self.muted += len(lines)
        for line in told:
            self._tell(line)
