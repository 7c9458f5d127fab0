"""The SQL database of accounts: connecting, transactions, and what its errors mean.

Writes on SQLite take the lock when they begin (BEGIN IMMEDIATE), for a transaction that reads first and
writes then could not wait for it. Reads run without a transaction of their own.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from commands.errors import Corrupt, TidingsError, Unavailable, UsernameTaken
from infra.master_key import MasterKey
from infra.sql.migrate import upgrade
from infra.sql.tables import InstallationRow

BUSY_MS = 5000
_TAKEN: dict[str, type[TidingsError]] = {"name_mac": UsernameTaken, "username": UsernameTaken}
"""Unique column → what it means that the value is there already."""
_AWAY = (OperationalError, InterfaceError, TimeoutError, OSError, asyncio.TimeoutError)

log = logging.getLogger(__name__)


@contextmanager
def driver_errors() -> Iterator[None]:
    """The one place where errors of SQL drivers become ours; what is not expected passes as it is."""
    try:
        yield
    except IntegrityError as error:
        for column, kind in _TAKEN.items():
            if column in str(error.orig):
                raise kind from error
        raise
    except _AWAY as error:
        log.warning("SQL is away: %s", error)
        raise Unavailable("accounts cannot be reached right now") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            log.warning("SQL is away: %s", error)
            raise Unavailable("accounts cannot be reached right now") from error
        raise


class Database:
    """One pool of connections. `open` makes one that is ready for use."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(tidings_writes=True)

    @classmethod
    async def open(cls, url: str, master_key: MasterKey, *, busy_ms: int = BUSY_MS) -> Database:
        """Connect, bring the tables up to date, and check that the master key is theirs.

        `url`: as SQLAlchemy writes it, with an async driver. Raises Unavailable, Corrupt.
        """
        database = cls(create_async_engine(url, pool_pre_ping=not url.startswith("sqlite")))
        if url.startswith("sqlite"):
            _prepare_sqlite(database._engine.sync_engine, busy_ms)
        try:
            async with database.writing() as db:
                await db.run_sync(upgrade)
                await _claim(db, master_key)
            await database.scrub()
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Raises Unavailable."""
        with driver_errors():
            async with self._engine.connect() as db:
                yield db

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: all of it is durable on leaving, or none. Raises Unavailable and the meaning of a
        broken constraint."""
        with driver_errors():
            async with self._writer.connect() as db:
                try:
                    async with db.begin():
                        yield db
                except OperationalError:
                    # What a failed commit left behind is unknown: never reuse such a connection.
                    await db.invalidate()
                    raise

    async def scrub(self) -> bool:
        """Rid the files of what was overwritten: SQLite's write-ahead log keeps old pages until it is emptied.

        False, and a line in the log, if that must wait: readers or a writer were in the way. It is done again
        with the next erasure step, and on opening.
        """
        if not self.is_sqlite:
            return True
        try:
            async with self.reading() as db:
                busy = (await db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()[0]
        except Unavailable:
            busy = 1
        if busy:
            log.warning("erased data still stands in the write-ahead log: it is removed later")
        return not busy

    async def close(self) -> None:
        await self._engine.dispose()


def sqlite_url(path: Path) -> str:
    """The URL of a file, which only its owner may read; made if need be."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return f"sqlite+aiosqlite:///{path}"


def _prepare_sqlite(engine: Engine, busy_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def settle(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={busy_ms}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("tidings_writes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _claim(db: AsyncConnection, master_key: MasterKey) -> None:
    name = "master_key"
    found = await db.scalar(select(InstallationRow.value).where(InstallationRow.name == name))
    if found is None:
        await db.execute(insert(InstallationRow).values(name=name, value=master_key.fingerprint))
    elif not hmac.compare_digest(found, master_key.fingerprint):
        raise Corrupt("the accounts were made with another master key: give that one")
