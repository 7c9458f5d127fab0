"""`tidings events export`: a span of the log as Parquet, in several processes, taken up again where it stopped.

The span is cut into pieces at offsets that are whole multiples of `PIECE`, whoever exports and from where.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context

from infra.analysts import manifest as manifests
from infra.analysts.manifest import File, Manifest, manifest_of
from infra.analysts.parquet import write_files
from infra.analysts.storage import storage_of
from infra.cli.faults import Fault
from infra.log_readers import open_log_reader
from infra.settings import Settings
from streams.log_reader import LogReader

PIECE = 100_000
"""Offsets."""


@dataclass(frozen=True, slots=True)
class Piece:
    partition: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: a folder or `s3://bucket/prefix`, and the endpoint of other S3 than Amazon's."""

    place: str
    endpoint: str | None = None


def pieces(begin: Mapping[int, int], end: Mapping[int, int]) -> Iterator[Piece]:
    """The span in pieces, partition by partition."""
    for partition, offset in sorted(begin.items()):
        last = end.get(partition, 0)
        while offset < last:
            until = min((offset // PIECE + 1) * PIECE, last)
            yield Piece(partition, offset, until)
            offset = until


def export(
    settings: Settings,
    reader: LogReader,
    begin: dict[int, int],
    end: dict[int, int],
    target: Target,
    *,
    before: Manifest | None = None,
    workers: int | None = None,
    begun: Callable[[int], None] = lambda records: None,
    report: Callable[[int], None] = lambda records: None,
) -> Manifest:
    """Write the files and then the manifest, which tells of those of `before` as well.

    One that was stopped under way is taken up again, up to where it was to go. `begun` hears how many records there
    are, `report` how many more were written. Raises Fault, Corrupt, Unavailable.
    """
    storage = storage_of(target.place, target.endpoint)
    old = manifests.read(storage)
    part = manifests.read(storage, manifests.UNDER_WAY)
    files: list[File] = []
    if part is not None and (part.incarnation, manifests.offsets(part.from_offsets)) == (reader.incarnation, begin):
        end, files = manifests.offsets(part.to_offsets), list(part.files)
    # Only whole pieces stand there, and none after one that is missing.
    reached = {file.partition: file.last_offset for file in files}
    left = [piece for piece in pieces(begin, end) if reached.get(piece.partition, -1) < piece.end - 1]
    begun(sum(piece.end - piece.begin for piece in left))
    done: dict[int, list[File]] = {}
    following = 0
    for number, written in _work(settings, target, left, workers or len(os.sched_getaffinity(0))):
        done[number] = written
        report(left[number].end - left[number].begin)
        if following in done:
            while following in done:
                files += done.pop(following)
                following += 1
            so_far = manifest_of(reader.incarnation, reader.partitions, begin, end, files)
            storage.write(manifests.UNDER_WAY, manifests.encode(so_far))
    first, everything = begin, files
    if before is not None:
        first, everything = manifests.offsets(before.from_offsets), [*before.files, *files]
    made = manifest_of(reader.incarnation, reader.partitions, first, end, everything)
    storage.write(manifests.NAME, manifests.encode(made))
    storage.remove(manifests.UNDER_WAY)
    kept = {file.path for file in made.files}
    for file in old.files if old is not None else ():
        if file.path not in kept:
            storage.remove(file.path)
    return made


def following_on(before: Manifest, reader: LogReader) -> dict[int, int]:
    """Where an export goes on after another. Raises Fault where that was of another log."""
    if before.incarnation != reader.incarnation:
        raise Fault(
            f"the manifest is of the log {before.incarnation}, but this one is {reader.incarnation}",
            "export the whole log to a place of its own",
        )
    return manifests.offsets(before.to_offsets)


def _work(settings: Settings, target: Target, left: list[Piece], workers: int) -> Iterator[tuple[int, list[File]]]:
    """(number, files) of each piece as it is done, in any order."""
    if workers == 1 or len(left) < 2:
        for number, piece in enumerate(left):
            yield number, _write(settings, target, piece)
        return
    # Started anew, not forked: a log's driver has threads.
    pool = ProcessPoolExecutor(min(workers, len(left)), get_context("spawn"))
    try:
        waiting = iter(enumerate(left))
        running: dict[Future[list[File]], int] = {}
        while True:
            for number, piece in islice(waiting, 2 * workers - len(running)):
                running[pool.submit(_write, settings, target, piece)] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write(settings: Settings, target: Target, piece: Piece) -> list[File]:
    """One piece, by a reader of this process's own."""
    with closing(open_log_reader(settings)) as reader:
        batches = reader.batches(piece.partition, piece.begin, piece.end)
        return list(write_files(batches, storage_of(target.place, target.endpoint)))
