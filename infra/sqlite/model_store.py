"""Rows of a read model of one's own, in a file of their own: one for each version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.sqlite.database import connect, translated
from projections.ports import LogMismatch

_WAY_OUT = "remove it, with its -wal and -shm files: it is folded anew from the log"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rows (
    partition INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (partition, key)
) WITHOUT ROWID;
"""


class SqliteModelStore:
    """See `streams.models.ModelStore`. One process writes at a time: the others wait."""

    def __init__(self, path: Path, incarnation: str) -> None:
        """Open or make. Raises LogMismatch for rows of another log, and Unavailable."""
        self._path = path
        with translated(self._path, _WAY_OUT):
            self._db = connect(path, "NORMAL", way_out=_WAY_OUT)
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('incarnation', ?)", (incarnation,))
            found = self._db.execute("SELECT value FROM meta WHERE name = 'incarnation'").fetchone()[0]
        if found != incarnation:
            self._db.close()
            raise LogMismatch(f"{path.name} was folded from the log {found}, not {incarnation}")

    def positions(self) -> dict[int, int]:
        with translated(self._path, _WAY_OUT):
            return dict(self._db.execute("SELECT partition, next_offset FROM positions"))

    @contextmanager
    def batch(self, partition: int, next_offset: int) -> Iterator[_PartitionRows]:
        with translated(self._path, _WAY_OUT):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield _PartitionRows(self._db, partition)
                self._db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (partition, next_offset))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def rows(self) -> Iterator[tuple[str, Any]]:
        """(key, value) of all partitions. Raises Unavailable."""
        with translated(self._path, _WAY_OUT):
            for key, value in self._db.execute("SELECT key, value FROM rows ORDER BY key, partition"):
                yield key, json.loads(value)

    def close(self) -> None:
        self._db.close()


class _PartitionRows:
    def __init__(self, db: sqlite3.Connection, partition: int) -> None:
        self._db = db
        self._partition = partition

    def get(self, key: str) -> Any:
        found = self._db.execute("SELECT value FROM rows WHERE partition = ? AND key = ?", (self._partition, key))
        row = found.fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (self._partition, key, json.dumps(value)))
