"""Reading the SQLite log: the queries, and a reader for tools that run beside whoever serves the directory.

In WAL mode a second process sees every commit once it is durable, and disturbs nobody. Without a server the
file can be read as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from commands.errors import Unavailable
from events.log import Record
from infra.sqlite.database import connect_read_only, translated
from streams.log_reader import NoLog

WAY_OUT = "nothing but a backup brings it back: tidings restore BACKUP --data NEW (docs/operating.md, A damaged file)"
"""Where the log is damaged."""
SHIFT = 48
"""A record's `place` is `partition * 2^48 + offset`."""
_MASK = (1 << SHIFT) - 1
_AT_ONCE = 1_000
_BYTES_AT_ONCE = 4 * 1024 * 1024
_LOOK_THROUGH = 20_000
"""Offsets looked through in one statement, which holds a read transaction: some 10 ms."""


def stored_meta(db: sqlite3.Connection) -> tuple[str, int]:
    """The log's incarnation and its number of partitions."""
    meta = dict(db.execute("SELECT name, value FROM log_meta").fetchall())
    return meta["incarnation"], int(meta["partitions"])


def stored_end(db: sqlite3.Connection, partition: int) -> int:
    """The offset after the last record of a partition."""
    row = db.execute(
        "SELECT max(place) FROM records WHERE place >= ? AND place < ?",
        (partition << SHIFT, (partition + 1) << SHIFT),
    ).fetchone()
    return 0 if row[0] is None else (row[0] & _MASK) + 1


def stored_latest_ms(db: sqlite3.Connection, partitions: int) -> int:
    """The append time of the newest record, 0 where there is none."""
    last = [partition << SHIFT | stored_end(db, partition) - 1 for partition in range(partitions)]
    rows = db.execute(f"SELECT max(timestamp_ms) FROM records WHERE place IN ({','.join('?' * partitions)})", last)
    return rows.fetchone()[0] or 0


def stored_records(db: sqlite3.Connection, partition: int, offset: int, limit: int) -> list[Record]:
    """Records of a partition from `offset` on, in order: up to `limit`, fewer where they pass some megabytes."""
    cursor = db.execute(
        "SELECT place, timestamp_ms, key, value FROM records WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
        (partition << SHIFT | offset, (partition + 1) << SHIFT, limit),
    )
    records, size = [], 0
    for place, at, key, value in cursor:
        records.append(Record(partition, place & _MASK, at, key, value))
        size += len(value)
        if size > _BYTES_AT_ONCE:
            cursor.close()
            break
    return records


class SqliteLogReader:
    """A log that another process may be writing. See `streams.log_reader.LogReader`."""

    def __init__(self, path: Path) -> None:
        """Raises NoLog, and Unavailable for a file that is no log."""
        if not path.exists():
            raise NoLog(f"there is no log in {path.parent}")
        self._path = path
        self._db = connect_read_only(path, way_out=WAY_OUT)
        try:
            with translated(self._path, WAY_OUT):
                self.incarnation, self.partitions = stored_meta(self._db)
        except KeyError as error:
            self._db.close()
            raise Unavailable("the log is being made right now") from error
        except BaseException:
            self._db.close()
            raise

    def ends(self) -> dict[int, int]:
        with translated(self._path, WAY_OUT):
            return {partition: stored_end(self._db, partition) for partition in range(self.partitions)}

    def records(self, partition: int, offset: int, limit: int) -> list[Record]:
        with translated(self._path, WAY_OUT):
            return stored_records(self._db, partition, offset, limit)

    def batches(self, partition: int, offset: int, end: int, key: str | None = None) -> Iterator[list[Record]]:
        if key is not None:
            yield from self._of_chat(partition, offset, end, key)
            return
        while offset < end:
            records = self.records(partition, offset, min(_AT_ONCE, end - offset))
            if not records:
                raise Unavailable(f"the log has no record at {partition}:{offset}")
            offset = records[-1].offset + 1
            yield records

    def _of_chat(self, partition: int, offset: int, end: int, key: str) -> Iterator[list[Record]]:
        """SQLite looks at the keys, so other chats' records never become objects."""
        while offset < end:
            until = min(offset + _LOOK_THROUGH, end)
            records, size = [], 0
            with translated(self._path, WAY_OUT):
                cursor = self._db.execute(
                    "SELECT place, timestamp_ms, value FROM records WHERE place >= ? AND place < ? AND key = ? "
                    "ORDER BY place",
                    (partition << SHIFT | offset, partition << SHIFT | until, key),
                )
                for place, at, value in cursor:
                    records.append(Record(partition, place & _MASK, at, key, value))
                    size += len(value)
                    if size > _BYTES_AT_ONCE:
                        cursor.close()
                        until = records[-1].offset + 1
                        break
            if records:
                yield records
            offset = until

    def offsets_at(self, at_ms: int) -> dict[int, int]:
        """By binary search: append times do not decrease within a log."""
        with translated(self._path, WAY_OUT):
            return {partition: self._offset_at(partition, at_ms) for partition in range(self.partitions)}

    def _offset_at(self, partition: int, at_ms: int) -> int:
        low, high = 0, stored_end(self._db, partition)
        while low < high:
            middle = (low + high) // 2
            (found,) = self._db.execute(
                "SELECT timestamp_ms FROM records WHERE place >= ? ORDER BY place LIMIT 1",
                (partition << SHIFT | middle,),
            ).fetchone()
            low, high = (middle + 1, high) if found < at_ms else (low, middle)
        return low

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        return self.records(partition, offset, limit)

    def close(self) -> None:
        self._db.close()
