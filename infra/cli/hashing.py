"""`tidings projections hash`: what the served views hold, and whether folding the log again gives the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.progress import Progress

from infra.cli.console import answers, progress
from infra.cli.faults import Fault
from infra.layout import log_file, views_file
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views import SqliteViews, hash_of
from infra.sqlite.views_snapshot import NoViews, ViewsSnapshot
from streams.rebuild import fold_up_to

REPORT_EVERY = 1_000
SHOWN = 500
"""Characters of a row that differs."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Hashed:
    """What was found. `positions`: partition → next offset, at which both sides stand. `rebuilt`: None where that
    was not asked for. `difference`: the first row that differs, as (served, rebuilt)."""

    sha256: str
    rows: int
    positions: dict[str, int]
    rebuilt: str | None = None
    difference: tuple[str | None, str | None] | None = None

    @property
    def is_right(self) -> bool:
        return self.rebuilt in (None, self.sha256)


def hash_views(data: Path, rebuild: bool, bars: Progress) -> Hashed:
    """Hash one moment of the served views; fold the log up to it anew if asked to. Raises NoLog, Fault, Unavailable."""
    reader = SqliteLogReader(log_file(data))
    try:
        served = _snapshot(data)
        try:
            if served.incarnation != reader.incarnation:
                raise Fault(
                    f"the views were folded from the log {served.incarnation}, but this one is {reader.incarnation}",
                    "put the right log back, or remove the views-*.db files",
                )
            count = served.count()
            sha256 = hash_of(_counted(served.rows(), count, bars, "Hashing the served views"))
            positions = {str(partition): offset for partition, offset in sorted(served.positions.items())}
            if not rebuild:
                return Hashed(sha256, count, positions)
            with TemporaryDirectory(prefix="tidings-rebuild-") as scratch:
                again, difference = _rebuild(reader, served, sha256, Path(scratch), bars)
            return Hashed(sha256, count, positions, again, difference)
        finally:
            served.close()
    finally:
        reader.close()


def report(hashed: Hashed, as_json: bool) -> None:
    """Print it: the hash, alone on its line, or JSON."""
    out = answers()
    if as_json:
        out.print_json(json.dumps(asdict(hashed) | {"same": hashed.is_right if hashed.rebuilt else None}))
        return
    at = ", ".join(f"{partition}:{offset}" for partition, offset in hashed.positions.items()) or "the start"
    print(f"{hashed.sha256}  {hashed.rows} rows at {at}")
    if hashed.rebuilt is not None:
        print(f"{hashed.rebuilt}  rebuilt from the log: {'the same' if hashed.is_right else 'DIFFERENT'}")
    if hashed.difference is not None:
        served, rebuilt = hashed.difference
        print(f"first difference\n  served:  {served}\n  rebuilt: {rebuilt}")


def _snapshot(data: Path) -> ViewsSnapshot:
    try:
        return ViewsSnapshot(views_file(data, FileRegistry(data).look().served))
    except NoViews as error:
        raise Fault(str(error), "tidings serve folds them from the log") from error


def _rebuild(
    reader: SqliteLogReader, served: ViewsSnapshot, sha256: str, scratch: Path, bars: Progress
) -> tuple[str, tuple[str | None, str | None] | None]:
    """The hash of views folded anew to where `served` stands, and the first row that differs."""
    ends = reader.ends()
    for partition, offset in served.positions.items():
        if offset > ends.get(partition, 0):
            raise Fault(
                f"the views stand at {partition}:{offset}, beyond the log's end at {ends.get(partition, 0)}",
                "was the log restored from an older copy? then remove the views-*.db files",
            )
    records = sum(served.positions.values())
    store = SqliteViews(scratch / "views.db", reader.incarnation, ends)
    try:
        task = bars.add_task("Folding the log", total=records)
        asyncio.run(fold_up_to(reader, store, served.positions, lambda folded: bars.advance(task, folded)))
        again = hash_of(_counted(store.rows(), served.count(), bars, "Hashing the rebuilt views"))
        return again, None if again == sha256 else first_difference(served.rows(), store.rows())
    finally:
        store.close()


def first_difference(served: Iterable[Row], rebuilt: Iterable[Row]) -> tuple[str | None, str | None]:
    """The first pair of rows that differ, shortened; None where one side has ended."""
    for one, other in zip_longest(served, rebuilt):
        if one != other:
            return _shown(one), _shown(other)
    return None, None


def _shown(row: Row | None) -> str | None:
    return None if row is None else repr(row)[:SHOWN]


def _counted(rows: Iterator[Row], total: int, bars: Progress, what: str) -> Iterator[Row]:
    task = bars.add_task(what, total=total)
    for index, row in enumerate(rows, 1):
        yield row
        if not index % REPORT_EVERY:
            bars.update(task, completed=index)
    bars.update(task, completed=total)


def run(data: Path, rebuild: bool, as_json: bool) -> bool:
    """The whole command; whether all is well."""
    with progress() as bars:
        hashed = hash_views(data, rebuild, bars)
    report(hashed, as_json)
    return hashed.is_right
