"""Uploads on their way: a folder each on this machine's disk, gone with the request that brought it.

Memory holds a megabyte of an upload, whatever its size. A folder is locked as long as its process lives, so what a
killed process left behind can be told from what another one is still writing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

from commands.errors import TooLarge, Unavailable

BUFFER_BYTES = 1024 * 1024


class Spool:
    """The folder of one upload. `path` is its content; more files may be put beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "upload"
        self.size = 0
        self._hash = sha256()

    @property
    def sha256(self) -> str:
        """Of what was written, in hex."""
        return self._hash.hexdigest()

    async def fill(self, chunks: AsyncIterator[bytes], limit: int) -> None:
        """Write everything. Raises TooLarge beyond `limit` bytes, Unavailable (the disk), and what `chunks` raises."""
        with storage_errors():
            file = await asyncio.to_thread(self.path.open, "wb")
        try:
            waiting: list[bytes] = []
            size = 0
            async for chunk in chunks:
                self.size += len(chunk)
                size += len(chunk)
                if self.size > limit:
                    raise TooLarge(f"a file may have {limit} bytes")
                waiting.append(chunk)
                if size >= BUFFER_BYTES:
                    await self._write(file.fileno(), waiting)
                    waiting, size = [], 0
            await self._write(file.fileno(), waiting)
        finally:
            file.close()

    async def _write(self, file: int, chunks: list[bytes]) -> None:
        def write() -> None:
            for chunk in chunks:
                self._hash.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(file, view) :]

        with storage_errors():
            await asyncio.to_thread(write)


class SpoolFolder:
    """Where spools are. Several processes may share one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def spool(self) -> AsyncIterator[Spool]:
        """A spool that is removed at the end of the block. Raises Unavailable."""
        with storage_errors():
            folder, lock = await asyncio.to_thread(self._make)
        try:
            yield Spool(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def sweep(self) -> int:
        """Remove what processes that are no more have left; how many uploads. Raises Unavailable."""
        removed = 0
        with storage_errors():
            for folder in self._path.glob("up-*"):
                try:
                    lock = _locked(folder)
                except FileNotFoundError:
                    continue
                if lock is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lock)
                    removed += 1
        return removed

    def _make(self) -> tuple[Path, int]:
        while True:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(mkdtemp(prefix="up-", dir=self._path))
            # Between making and locking, a sweep may take it for an orphan.
            try:
                lock = _locked(folder)
            except FileNotFoundError:
                continue
            if lock is not None and folder.exists():
                return folder, lock
            if lock is not None:
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock, None where another process has it."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


@contextmanager
def storage_errors() -> Iterator[None]:
    """What the disk says, as ours."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"files cannot be kept right now: {error.strerror}") from error
