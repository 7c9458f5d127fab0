"""What an export holds: which offsets, in which files, how many events of which type. No other file counts.

Nothing in it tells when or where it was made, so the same records give the same bytes.
"""

from __future__ import annotations

import msgspec

from commands.errors import Corrupt
from infra.analysts.storage import Storage

NAME = "_manifest.json"
"""With an underscore, at which pandas, Spark and their like pass it over when they are given the folder."""
UNDER_WAY = "_manifest.part.json"
"""The same while an export is under way, for the one that takes it up again."""


class File(msgspec.Struct, frozen=True):
    """`last_offset` is inclusive; `types`: event type → events, `unreadable` among them."""

    path: str
    partition: int
    first_offset: int
    last_offset: int
    records: int
    bytes: int
    sha256: str
    types: dict[str, int]


class Manifest(msgspec.Struct, frozen=True):
    """`from_offsets` and `to_offsets`: partition → offset, the latter exclusive: where the next export begins."""

    incarnation: str
    partitions: int
    from_offsets: dict[str, int]
    to_offsets: dict[str, int]
    events: int
    types: dict[str, int]
    files: list[File]
    format: int = 1


def manifest_of(
    incarnation: str, partitions: int, begin: dict[int, int], end: dict[int, int], files: list[File]
) -> Manifest:
    """With files by partition and offset, and counts over all of them."""
    ordered = sorted(files, key=lambda file: (file.partition, file.first_offset))
    types: dict[str, int] = {}
    for file in ordered:
        for kind, count in file.types.items():
            types[kind] = types.get(kind, 0) + count
    return Manifest(
        incarnation,
        partitions,
        {str(partition): offset for partition, offset in sorted(begin.items())},
        {str(partition): offset for partition, offset in sorted(end.items())},
        sum(file.records for file in ordered),
        dict(sorted(types.items())),
        ordered,
    )


def offsets(named: dict[str, int]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in named.items()}


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(content: bytes, what: str) -> Manifest:
    """Raises Corrupt."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"{what} is no manifest of an export: {error}") from error
    if manifest.format != 1:
        raise Corrupt(f"{what} has format {manifest.format}, which this version does not know")
    return manifest


def read(storage: Storage, name: str = NAME) -> Manifest | None:
    """None where there is none. Raises Corrupt, Unavailable."""
    content = storage.read(name)
    return None if content is None else decode(content, name)
