"""Records of one partition into Parquet files: by the hour in which they were appended, and of bounded size.

Where a file ends depends on the records and on offsets alone, so the same span gives the same files, byte by byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from io import BytesIO
from time import gmtime, strftime

import pyarrow.parquet as pq

from events.log import Record
from infra.analysts.columns import SCHEMA, batch_of
from infra.analysts.manifest import File
from infra.analysts.storage import Storage

MAX_BYTES = 32 * 1024 * 1024
"""Of records, in one file."""
_HOUR_MS = 3_600_000
_ROWS_AT_ONCE = 10_000
_ROW_BYTES_AT_ONCE = 8 * 1024 * 1024
_REPEATING = [
    field.name
    for field in SCHEMA
    if field.name in ("type", "chat_id", "actor_id") or field.name.endswith(("_kind", "_role", "_reason", "_user_id"))
]
"""Columns in which a dictionary pays."""


def write_files(batches: Iterable[Sequence[Record]], storage: Storage) -> Iterator[File]:
    """Write records, in their order, and give what was written after each file. Raises as the storage does."""
    waiting: list[Record] = []
    size = 0
    file: _Open | None = None
    for batch in batches:
        for record in batch:
            hour = record.timestamp_ms // _HOUR_MS
            if file is not None and (hour != file.hour or file.size + size >= MAX_BYTES):
                file.add(waiting, size)
                yield file.close(storage)
                file, waiting, size = None, [], 0
            if file is None:
                file = _Open(record, hour)
            waiting.append(record)
            size += len(record.value)
            if len(waiting) >= _ROWS_AT_ONCE or size >= _ROW_BYTES_AT_ONCE:
                file.add(waiting, size)
                waiting, size = [], 0
    if file is not None:
        file.add(waiting, size)
        yield file.close(storage)


class _Open:
    """A file that is being filled, in memory."""

    def __init__(self, first: Record, hour: int) -> None:
        self.hour = hour
        self.size = 0
        self._first = first
        self._last = first.offset
        self._records = 0
        self._types: Counter[str] = Counter()
        self._bytes = BytesIO()
        self._writer = pq.ParquetWriter(
            self._bytes, SCHEMA, compression="zstd", compression_level=3, use_dictionary=_REPEATING
        )

    def add(self, records: Sequence[Record], size: int) -> None:
        if not records:
            return
        batch = batch_of(records)
        self._writer.write_batch(batch)
        self._types.update(kind or "unreadable" for kind in batch.column("type").to_pylist())
        self._records += len(records)
        self._last = records[-1].offset
        self.size += size

    def close(self, storage: Storage) -> File:
        self._writer.close()
        content = self._bytes.getvalue()
        partition, offset = self._first.partition, self._first.offset
        day, hour = strftime("%Y-%m-%d %H", gmtime(self.hour * 3_600)).split()
        path = f"date={day}/hour={hour}/{partition:05d}-{offset:015d}.parquet"
        storage.write(path, content)
        digest = sha256(content).hexdigest()
        types = dict(sorted(self._types.items()))
        return File(path, partition, offset, self._last, self._records, len(content), digest, types)
