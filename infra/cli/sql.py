"""`tidings sql`: one query, its answer on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from infra.analysts.answers import OUTPUTS
from infra.analysts.export import Target, export
from infra.analysts.sql import open_export
from infra.analysts.storage import Folder, storage_of
from infra.cli.console import progress
from infra.cli.faults import Fault
from infra.log_readers import open_log_reader
from infra.settings import Settings

ROWS_AT_ONCE = 2_000


def run(settings: Settings, query: str, place: str | None, style: str) -> None:
    """The whole command. Raises Fault, Corrupt, Unavailable."""
    if style == "parquet" and sys.stdout.isatty():
        raise Fault("Parquet is nothing for a terminal", "send it to a file: > answer.parquet", 2)
    if query == "-":
        query = sys.stdin.read()
    with database(settings, place) as db:
        try:
            answer = db.sql(query)
            # A statement that asks nothing, such as SET, has no answer.
            if answer is not None:
                OUTPUTS[style](answer.to_arrow_reader(ROWS_AT_ONCE), sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except duckdb.Error as error:
            raise Fault(f"the query fails: {error}", "", 2) from error
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def database(settings: Settings, place: str | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Over the export at `place`; without one over the log as it is now. Raises Fault, Corrupt, Unavailable."""
    if place is not None:
        with closing(open_export(storage_of(place, settings.s3_endpoint))) as db:
            yield db
        return
    with TemporaryDirectory(prefix="tidings-sql-") as folder:
        with closing(open_log_reader(settings)) as reader, progress() as bars:
            task = bars.add_task("Reading the log", total=0)
            ends = reader.ends()
            export(
                settings,
                reader,
                dict.fromkeys(ends, 0),
                ends,
                Target(folder),
                begun=lambda records: bars.update(task, total=records),
                report=lambda records: bars.advance(task, records),
            )
        with closing(open_export(Folder(Path(folder)))) as db:
            yield db
