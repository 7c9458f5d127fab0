"""Reading the SQLite log: the queries, and a reader for tools that run beside whoever serves the directory.

In WAL mode a second process sees every commit once it is durable, and disturbs nobody. Without a server the
file can be read as well.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from commands.errors import Unavailable
from events.log import Record
from infra.sqlite.database import connect_read_only, translated

SHIFT = 48
"""A record's `place` is `partition * 2^48 + offset`."""
_MASK = (1 << SHIFT) - 1


class NoLog(Exception):
    """There is no log in this directory."""


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


def stored_records(db: sqlite3.Connection, partition: int, offset: int, limit: int) -> list[Record]:
    """Up to `limit` records of a partition from `offset` on, in order."""
    rows = db.execute(
        "SELECT place, timestamp_ms, key, value FROM records WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
        (partition << SHIFT | offset, (partition + 1) << SHIFT, limit),
    ).fetchall()
    return [Record(partition, place & _MASK, at, key, value) for place, at, key, value in rows]


class LogReader:
    """A log that another process may be writing."""

    def __init__(self, path: Path) -> None:
        """Raises NoLog, and Unavailable for a file that is no log."""
        if not path.exists():
            raise NoLog(f"there is no log in {path.parent}")
        self._db = connect_read_only(path)
        try:
            with translated():
                self.incarnation, self.partitions = stored_meta(self._db)
        except KeyError as error:
            self._db.close()
            raise Unavailable("the log is being made right now") from error
        except BaseException:
            self._db.close()
            raise

    def ends(self) -> dict[int, int]:
        """Partition → the offset after its last durable record. Raises Unavailable."""
        with translated():
            return {partition: stored_end(self._db, partition) for partition in range(self.partitions)}

    def records(self, partition: int, offset: int, limit: int) -> list[Record]:
        """Up to `limit` durable records from `offset` on. Raises Unavailable."""
        with translated():
            return stored_records(self._db, partition, offset, limit)

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        """The same, as folds ask for it."""
        return self.records(partition, offset, limit)

    def close(self) -> None:
        self._db.close()
