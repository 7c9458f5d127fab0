"""What a backup says of itself: its files with their digests, and how far it goes. It is written last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from infra.private import write_private

FILE = "manifest.json"
FORMAT = 1
_PIECE = 1024 * 1024

Report = Callable[[int], None]
"""Hears of bytes."""


class BadBackup(Exception):
    """A folder that holds no backup, or one that is not whole any more."""


class Part(msgspec.Struct, frozen=True):
    """A file of the backup."""

    name: str
    size: int
    sha256: str


class LogPart(msgspec.Struct, frozen=True):
    """The log as of the backup."""

    incarnation: str
    ends: dict[int, int]
    """Partition → the offset after its last record."""


class Manifest(msgspec.Struct, frozen=True):
    format: int
    made_at: datetime
    version: str
    """Of Tidings."""
    log: LogPart
    users: int
    destroyed: int
    """Keys."""
    files: list[Part]

    def has(self, name: str) -> bool:
        return any(part.name == name for part in self.files)


def part_of(path: Path) -> Part:
    """Made durable, and read for its digest."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return Part(path.name, path.stat().st_size, _digest(path))


def write(folder: Path, manifest: Manifest) -> None:
    write_private(folder / FILE, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path) -> Manifest:
    """Raises BadBackup."""
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadBackup(f"{folder} has no {FILE}: it is no backup, or one that was not finished") from error
    except msgspec.MsgspecError as error:
        raise BadBackup(f"{folder / FILE} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BadBackup(f"{folder} is a backup of format {manifest.format}, and this version reads {FORMAT}")
    return manifest


def check(folder: Path, manifest: Manifest, report: Report) -> None:
    """Compare every file with its digest. Raises BadBackup."""
    for part in manifest.files:
        path = folder / part.name
        if not path.exists():
            raise BadBackup(f"{path} is missing")
        if path.stat().st_size != part.size or _digest(path, report) != part.sha256:
            raise BadBackup(f"{path} is damaged: it is not what {FILE} says")


def _digest(path: Path, report: Report = lambda size: None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            report(len(piece))
    return digest.hexdigest()
