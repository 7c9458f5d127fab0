"""Transactions on an SQLite file.

Each runs whole in a thread: to go to the thread and back for every statement costs more than the statements. One
thread writes, so writers of this process queue here, in order. SQLite would let those who find its lock taken sleep
and look again, and so keep the disk waiting. Writes take the lock when they begin (BEGIN IMMEDIATE), for a
transaction that reads first and writes then could not wait for another process's.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from infra.sql.places import T, Work

READERS = 2
PATIENCE_S = 30.0
"""How long a caller waits for its turn and its answer."""
_AGAIN_S = 0.01


class SqlitePlace:
    """See `Place`. `busy_ms`: how long a write waits for one of another process."""

    def __init__(self, url: URL, busy_ms: int) -> None:
        # Parameters are hidden, or names and tokens stand in errors, and so in logs.
        self._engine = create_engine(url, pool_size=1 + READERS, max_overflow=0, hide_parameters=True)
        self._writing = self._engine.execution_options(tidings_writes=True)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="accounts-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="accounts-reader")
        _prepare(self._engine, busy_ms)

    @property
    def file(self) -> Path | None:
        name = self._engine.url.database
        # Read-only ones are given as a URI.
        return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name) if name else None

    async def read(self, work: Work[T]) -> T:
        def whole() -> T:
            with self._engine.connect() as db:
                return work(db)

        return await _in(self._readers, whole)

    async def write(self, work: Work[T]) -> T:
        def whole() -> T:
            with self._writing.connect() as db:
                try:
                    with db.begin():
                        return work(db)
                except OperationalError:
                    # What a failed commit left behind is unknown: never reuse such a connection.
                    db.invalidate()
                    raise

        return await _in(self._writer, whole)

    async def close(self) -> None:
        """Return when what was begun has ended."""
        await _in(self._writer, self._readers.shutdown)
        self._writer.shutdown()
        self._engine.dispose()


async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.get_running_loop().run_in_executor(threads, work)


def _prepare(engine: Engine, busy_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def settle(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={busy_ms}")
        _write_ahead(cursor, busy_ms)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("tidings_writes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _write_ahead(cursor: Any, busy_ms: int) -> None:
    """The first to open a file turns its journal over. Who meets that is refused at once, whatever the busy timeout:
    SQLite will not let two wait for each other's lock (sqlite3_busy_handler), so the wait is here."""
    deadline = time.monotonic() + busy_ms / 1_000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_S)
