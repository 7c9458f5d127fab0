"""SQLite connections as the log and the views use them, the lock on the data directory, and error translation."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from commands.errors import Unavailable
from infra.private import private_file, private_folder

LOCK_FILE = "LOCK"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNUSABLE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
)
_DATABASE_LINE = re.compile(r"\*\*\* in database \w+ \*\*\*\n")
_NOT_OURS = re.compile(r"no such (table|column)|has no column|has \d+ columns but")
"""What SQLite says of tables that are not those of our statements."""
BUSY_S = 10.0
"""How long a connection waits for somebody else's lock."""


class DataDirectoryInUse(Exception):
    """Another process serves this data directory."""


class Damaged(Unavailable):
    """A file that is no database any more, a broken one, or one of something else. Says which, and what to do."""

    for_operators = True


class Unusable(Unavailable):
    """A file that cannot be opened, or written: rights, a full disk, a folder in its place. Says which, and why."""

    for_operators = True


def connect(
    path: Path, synchronous: Literal["FULL", "NORMAL"], busy_s: float = BUSY_S, way_out: str = ""
) -> sqlite3.Connection:
    """Open a database in WAL mode with explicit transactions, usable from any one thread at a time. `way_out`: see
    `translated`. Where there is none it is made, for its owner alone, and so is what SQLite keeps beside it.

    Raises Damaged, Unusable, Unavailable.
    """
    with translated(path, way_out):
        private_file(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=busy_s)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        # Writers call `Checkpoints`; this is for those that do not, and for when those fail.
        db.execute("PRAGMA wal_autocheckpoint = 65536")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -16384")
        return db


def connect_read_only(path: Path, busy_s: float = BUSY_S, way_out: str = "") -> sqlite3.Connection:
    """A second connection that only reads what is committed. Raises Damaged, Unusable, Unavailable."""
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
        raise meaning(error, path, way_out) from error
    except OSError as error:
        raise Unusable(f"{path or 'the database'} cannot be used: {error.strerror or error}") from error


def meaning(error: sqlite3.Error, path: Path | None, way_out: str) -> Unavailable:
    """The error of ours that one of the driver's stands for. See `translated`."""
    where = "the database" if path is None else str(path)
    # The low byte; above it stands what exactly is broken.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGED or (code == sqlite3.SQLITE_ERROR and _NOT_OURS.search(str(error))):
        why = "it is empty" if path is not None and _is_empty(path) else str(error)
        return Damaged(f"{where} is damaged ({why}){way_out and f': {way_out}'}")
    if code in _UNUSABLE:
        return Unusable(f"{where} cannot be used: {(path and _seen(path)) or error}")
    return Unavailable(f"{where} answers: {error}")


def file_of(db: sqlite3.Connection) -> Path | None:
    """Where the database of a connection lies; None where that cannot be asked."""
    try:
        return Path(next(row[2] for row in db.execute("PRAGMA database_list") if row[1] == "main"))
    except (sqlite3.Error, StopIteration):
        return None


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _seen(path: Path) -> str:
    """More than SQLite's "unable to open database file" tells; empty where nothing is seen."""
    if path.is_dir():
        return "it is a folder"
    if not path.exists():
        return "it is not there" if path.parent.is_dir() else f"there is no folder {path.parent}"
    if not os.access(path, os.R_OK):
        return "it is not yours to read"
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
        return "it is not yours to write"
    return ""


def quick_check(path: Path, way_out: str = "") -> str:
    """What SQLite finds wrong in the structure of a file that others may be writing; empty where nothing is. Reads all
    of it. Raises Damaged, Unusable, Unavailable."""
    db = connect_read_only(path, way_out=way_out)
    try:
        with translated(path, way_out):
            rows = db.execute("PRAGMA quick_check(3)").fetchall()
    finally:
        db.close()
    return "" if rows == [("ok",)] else "; ".join(" ".join(_DATABASE_LINE.sub("", row[0]).split()) for row in rows)


class DirectoryLock:
    """An exclusive lock on a data directory, released by the kernel however the process ends (ADR 0009).

    The file says which process has it, for whoever finds it taken.
    """

    def __init__(self, directory: Path) -> None:
        """Create the directory if needed and take the lock. Raises DataDirectoryInUse, OSError."""
        private_folder(directory)
        self._fd = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
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
    except (FileNotFoundError, IsADirectoryError):
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
