"""Copies of databases as of one moment, while others write them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, delete, func, insert, make_url, select, text

from infra.sql.database import driver_errors
from infra.sql.migrate import upgrade
from infra.sql.postgres_place import PostgresPlace
from infra.sql.tables import InstallationRow, Table, UserRow
from infra.sqlite.database import Damaged, connect_read_only, quick_check, translated

Report = Callable[[int, int], None]
"""Hears how far it is, and of how much."""

_PAGES = 1_000
_ROWS = 500
_PATIENCE_S = 6 * 3600.0
"""For all rows of PostgreSQL's."""


class Occupied(Exception):
    """There are accounts already where some are to be restored."""


_WAY_OUT = "an older backup has it whole, see docs/operating.md, A damaged file"


def snapshot(source: Path, target: Path, report: Report) -> None:
    """Copy an SQLite database page by page. Nobody waits for it. Raises Damaged, Unavailable."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with translated(source, _WAY_OUT):
        db, copy = connect_read_only(source, way_out=_WAY_OUT), sqlite3.connect(target, isolation_level=None)
        try:
            # What is read first is what all pages are of; else each commit meanwhile would begin the copy anew.
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            db.backup(copy, pages=_PAGES, progress=lambda status, left, total: report(total - left, total), sleep=0)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a write-ahead log beside it
        finally:
            copy.close()
            db.close()
    # The copy, for nobody writes it meanwhile: it has what its source has, damage included.
    if wrong := quick_check(target):
        raise Damaged(f"{source} is damaged ({wrong}): {_WAY_OUT}")


async def save_rows(url: str, target: Path) -> None:
    """Copy the accounts in PostgreSQL, as of one moment, into an SQLite database. Raises Unavailable."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    engine = create_engine(f"sqlite:///{target}")
    place = PostgresPlace(make_url(url), patience_s=_PATIENCE_S)

    def save(db: Connection) -> None:
        db.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        with engine.begin() as copy:
            upgrade(copy)
            copy.execute(delete(InstallationRow))  # what the migrations noted: it comes with the rest
            _copy(db, copy)

    await _carried_out(place, engine, save)


async def load_rows(source: Path, url: str) -> None:
    """Copy accounts back into PostgreSQL, which has the tables and nobody in them: all or none.

    Raises Occupied, Unavailable.
    """
    engine = create_engine(f"sqlite:///{source}")
    place = PostgresPlace(make_url(url), patience_s=_PATIENCE_S)

    def load(db: Connection) -> None:
        if users := db.scalar(select(func.count()).select_from(UserRow)):
            raise Occupied(f"there are {users} accounts already")
        db.execute(delete(InstallationRow))
        with engine.connect() as copy:
            _copy(copy, db)

    await _carried_out(place, engine, load)


async def _carried_out(place: PostgresPlace, engine: Engine, work: Callable[[Connection], None]) -> None:
    try:
        with driver_errors():
            await place.write(work)
    finally:
        await place.close()
        engine.dispose()


def _copy(source: Connection, target: Connection) -> None:
    # Those that others refer to come first.
    for table in Table.metadata.sorted_tables:
        rows = source.execution_options(stream_results=True).execute(select(table))
        for some in rows.mappings().partitions(_ROWS):
            target.execute(insert(table), [dict(row) for row in some])
