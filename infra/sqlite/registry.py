"""The registry of the embedded product: a small file in the data directory, replaced whole with each change.

The server looks into it now and then, so a tool in another process needs no other way to tell it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from commands.errors import Unavailable
from infra.layout import views_file
from infra.private import private_file, write_private
from infra.sqlite.database import is_served
from streams.registry import Generation, Registered, ServedGeneration

FILE = "generations.json"
_LOCK = "generations.lock"
_READER = "generation.served"
"""Which process serves which generation, as it says itself."""
_TABLE_FILES = ("", "-wal", "-shm")


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    served: int
    previous: int | None
    last: int
    generations: list[Generation]


class FileRegistry:
    """Registry. Where there is no file there is one generation, the first."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / FILE
        self._told: tuple[str, int] | None = None

    async def read(self) -> Registered:
        return self.look()

    def look(self) -> Registered:
        """As `read`, at once."""
        try:
            stored = msgspec.json.decode(self._path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            return Registered()
        except (OSError, msgspec.DecodeError) as error:
            raise Unavailable(
                f"{self._path} cannot be read ({error}): put it back, or remove it to have generation 1 served"
            ) from error
        generations = {each.number: each for each in stored.generations}
        return Registered(stored.served, stored.previous, generations, stored.last)

    async def put(self, generation: Generation) -> None:
        with self._changing() as found:
            generations = {**found.generations, generation.number: generation}
            self._write(found, generations=generations, last=max(found.last, generation.number))

    async def serve(self, number: int) -> None:
        with self._changing() as found:
            if number not in found.generations:
                raise KeyError(number)
            if number != found.served:
                self._write(found, served=number, previous=found.served)

    async def remove(self, number: int) -> None:
        with self._changing() as found:
            if number == found.served:
                raise ServedGeneration(f"generation {number} is served")
            # A server that was told to use another one goes on with this until that one is where it must be.
            if number in (await self.readers()).values():
                raise ServedGeneration(f"generation {number} is still read by the server")
            rest = {other: each for other, each in found.generations.items() if other != number}
            self._write(found, generations=rest, previous=None if found.previous == number else found.previous)
        # A server that still has them open keeps them until it has looked again.
        path = views_file(self._data, number)
        with _unavailable(path):
            for suffix in _TABLE_FILES:
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    async def tell(self, reader: str, generation: int) -> None:
        if self._told == (reader, generation):
            return
        fresh = self._data / f"{_READER}.new"
        with _unavailable(self._data / _READER):
            private_file(fresh)
            fresh.write_text(f"{reader} {generation}\n")
            fresh.replace(self._data / _READER)
        self._told = reader, generation

    async def readers(self) -> dict[str, int]:
        served, pid = is_served(self._data)
        try:
            reader, generation = (self._data / _READER).read_text().split()
        except (FileNotFoundError, ValueError):
            return {}
        # What a server left that has ended since says nothing.
        return {reader: int(generation)} if served and reader == str(pid) else {}

    @contextmanager
    def _changing(self) -> Iterator[Registered]:
        with _unavailable(self._data / _LOCK):
            fd = os.open(self._data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield self.look()
        finally:
            os.close(fd)

    def _write(self, found: Registered, **changed: Any) -> None:
        made = replace(found, **changed)
        stored = _Stored(made.served, made.previous, made.last, list(made.generations.values()))
        with _unavailable(self._path):
            write_private(self._path, msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n")


@contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that may not be written into Unavailable: it is tried again."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}") from error
