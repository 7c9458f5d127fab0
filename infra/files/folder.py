"""Files in a folder: the embedded adapter of `Blobs`."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path

from commands.errors import NoSuchFile
from commands.spool import storage_errors

CHUNK_BYTES = 256 * 1024
_KEY = re.compile(r"[0-9a-z-]{3,64}/[a-z]{1,32}")


class FolderBlobs:
    """An object is a file; those of 256 folders are told apart by the end of their key's first part, which is random.

    An object is put by a rename, which happens whole or not at all, and stays after a power cut.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, source: Path, content_type: str) -> None:
        with storage_errors():
            await asyncio.to_thread(_move, source, self._path(key))

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        try:
            with storage_errors():
                file = await asyncio.to_thread(self._path(key).open, "rb")
        except Exception as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise NoSuchFile("the bytes of this file are gone") from error
            raise
        try:
            file.seek(start)
            while length > 0:
                with storage_errors():
                    piece = await asyncio.to_thread(file.read, min(length, CHUNK_BYTES))
                if not piece:
                    raise NoSuchFile("the file is shorter than it was")
                length -= len(piece)
                yield piece
        finally:
            file.close()

    async def delete(self, keys: Collection[str]) -> None:
        with storage_errors():
            await asyncio.to_thread(_remove, [self._path(key) for key in keys])

    async def link(self, key: str, life: timedelta, content_type: str, disposition: str) -> str | None:
        return None

    async def ping(self) -> None:
        with storage_errors():
            await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key")
        return self._folder / key.partition("/")[0][-2:] / key.replace("/", ".")


def _move(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        os.fsync(file.fileno())
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError:  # another filesystem: copy beside it first
        beside = target.with_name(f"{target.name}.part")
        shutil.copyfile(source, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(target)
        source.unlink()
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.part").unlink(missing_ok=True)
