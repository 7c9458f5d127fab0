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

LOCK_FILE = "LOCK"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BUSY_S = 10.0
"""How long a connection waits for somebody else's lock."""


class DataDirectoryInUse(Exception):
    """Another process serves this data directory."""


class Damaged(Unavailable):
    """A file that is no database any more, or a broken one. Says which it is, and what to do."""


def connect(
    path: Path, synchronous: Literal["FULL", "NORMAL"], busy_s: float = BUSY_S, way_out: str = ""
) -> sqlite3.Connection:
    """Open a database in WAL mode with explicit transactions, usable from any one thread at a time. `way_out`: see
    `translated`. Raises Damaged, Unavailable."""
    with translated(path, way_out):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=busy_s)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        # Writers call `Checkpoints`; this is for those that do not, and for when those fail.
        db.execute("PRAGMA wal_autocheckpoint = 65536")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -16384")
        return db


def connect_read_only(path: Path, busy_s: float = BUSY_S, way_out: str = "") -> sqlite3.Connection:
    """A second connection that only reads what is committed. Raises Damaged, Unavailable."""
    with translated(path, way_out):
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=busy_s,
        )
        db.execute("PRAGMA query_only = ON")
        return db


@contextmanager
def translated(path: Path | None = None, way_out: str = "") -> Iterator[None]:
    """Turn the driver's errors into Unavailable: the store is away or the outcome unknown. `way_out`: what to do where
    the file is damaged, as a sentence goes on after a colon."""
    try:
        yield
    except sqlite3.Error as error:
        where = "the database" if path is None else str(path)
        # The low byte; above it stands what exactly is broken.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise Damaged(f"{where} is damaged ({error}){way_out and f': {way_out}'}") from error
        raise Unavailable(f"{where} answers: {error}") from error


class DirectoryLock:
    """An exclusive lock on a data directory, released by the kernel however the process ends (ADR 0009).

    The file says which process has it, for whoever finds it taken.
    """

    def __init__(self, directory: Path) -> None:
        """Create the directory if needed and take the lock. Raises DataDirectoryInUse."""
        directory.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held_by = _noted_pid(self._fd)
            os.close(self._fd)
            raise DataDirectoryInUse(f"{directory} is served by {_process(held_by)}") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def is_served(directory: Path) -> tuple[bool, int | None]:
    """Whether a process serves this directory, and its id where that is known. Changes nothing."""
    try:
        fd = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False, None
    try:
        # Shared, so that two who look do not see each other; held for no longer than this call takes.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True, _noted_pid(fd)
    finally:
        os.close(fd)
    return False, None


def _noted_pid(fd: int) -> int | None:
    noted = os.pread(fd, 20, 0).strip()
    return int(noted) if noted.isdigit() else None


def _process(pid: int | None) -> str:
    return "another process" if pid is None else f"process {pid}"
