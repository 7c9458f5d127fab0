"""SQLite connections as the log and the views use them, the lock on the data directory, and error translation."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from commands.errors import Unavailable


class DataDirectoryInUse(Exception):
    """Another process serves this data directory."""


def connect(path: Path, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """Open a database in WAL mode with explicit transactions, usable from any one thread at a time."""
    with translated():
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        # 64 MiB: a page that many batches touch is copied into the database once, not once per batch.
        db.execute("PRAGMA wal_autocheckpoint = 16384")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -16384")
        return db


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A second connection that only reads what is committed."""
    with translated():
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        db.execute("PRAGMA query_only = ON")
        return db


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into Unavailable: the store is away or the outcome unknown."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"the database answers: {error}") from error


class DirectoryLock:
    """An exclusive lock on a data directory, released by the kernel however the process ends."""

    def __init__(self, directory: Path) -> None:
        """Create the directory if needed and take the lock. Raises DataDirectoryInUse."""
        directory.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise DataDirectoryInUse(f"{directory} is served by another process") from error

    def release(self) -> None:
        os.close(self._fd)
