"""Folders and files that nobody but their owner may read, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_OTHERS = 0o077


def private_folder(folder: Path) -> None:
    """Make it where it is not there yet. One that is there keeps its mode: see `tighten`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty one where there is none. One that is there is not opened: whoever closes a database's file takes
    SQLite's locks on it away from the whole process."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at one moment, durably."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    private_file(fresh)
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def open_to_others(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that others could read or change. Links are not followed."""
    for path in paths:
        with suppress(FileNotFoundError):  # gone meanwhile
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & _OTHERS:
                yield path


def tighten(paths: Iterable[Path]) -> None:
    """Take from others what they could read or change; what is somebody else's stays as it is."""
    for path in open_to_others(paths):
        with suppress(FileNotFoundError, PermissionError):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS)
