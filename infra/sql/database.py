"""The SQL database of accounts: what is needed to have one, and what its errors mean."""

from __future__ import annotations

import hmac
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as QueueTimeout

from commands.errors import Corrupt, Invalid, TidingsError, Unavailable, UsernameTaken
from infra.master_key import MasterKey
from infra.private import private_file
from infra.sql.migrate import upgrade
from infra.sql.places import Place, T, Work
from infra.sql.postgres_place import PostgresPlace
from infra.sql.replicas import PATIENCE_S as REPLICA_PATIENCE_S
from infra.sql.replicas import Replica, Replicas
from infra.sql.sqlite_place import SqlitePlace
from infra.sql.tables import InstallationRow, UserRow
from infra.sqlite.database import Damaged, Unusable, meaning, translated

BUSY_MS = 5000
_TAKEN: dict[str, type[TidingsError]] = {"name_mac": UsernameTaken, "username": UsernameTaken}
"""Unique column → what it means that the value is there already."""
_AWAY = (OperationalError, InterfaceError, QueueTimeout, OSError)
"""The built-in TimeoutError is an OSError."""

log = logging.getLogger(__name__)


WAY_OUT = "nothing but a backup brings it back: tidings restore BACKUP --data NEW (docs/operating.md, A damaged file)"
"""Where the accounts' file is damaged."""


@contextmanager
def driver_errors(file: Path | None = None) -> Iterator[None]:
    """The one place where errors of SQL drivers become ours; what is not expected passes as it is. `file`: of SQLite's
    accounts."""
    try:
        yield
    except IntegrityError as error:
        for column, kind in _TAKEN.items():
            if column in str(error.orig):
                raise kind from error
        raise
    except DBAPIError as error:
        lasting = None
        if file is not None and isinstance(error.orig, sqlite3.Error):
            lasting = meaning(error.orig, file, WAY_OUT)
        if isinstance(lasting, Damaged | Unusable):
            log.error("%s", lasting)
            raise lasting from error
        if not isinstance(error, _AWAY) and not error.connection_invalidated:
            raise
        log.warning("SQL is away: %s", getattr(error, "orig", None) or error)
        raise Unavailable("accounts cannot be reached right now") from error
    except _AWAY as error:
        log.warning("SQL is away: %s", getattr(error, "orig", None) or error)
        raise Unavailable("accounts cannot be reached right now") from error


def place_of(url: str, *, busy_ms: int = BUSY_MS) -> Place:
    """Connect to what a URL names, as SQLAlchemy writes it: SQLite or PostgreSQL; its driver is ours to choose."""
    parts = make_url(url)
    match parts.get_backend_name():
        case "sqlite":
            return SqlitePlace(parts.set(drivername="sqlite"), busy_ms)
        case "postgresql":
            return PostgresPlace(parts)
        case other:
            raise Invalid(f"accounts can be kept in SQLite or PostgreSQL, not in {other}")


class Database:
    """`open` makes one that is ready for use."""

    def __init__(self, place: Place, replicas: Replicas | None = None) -> None:
        self._place = place
        self._replicas = replicas

    @classmethod
    async def open(
        cls,
        url: str,
        master_key: MasterKey,
        *,
        replica_urls: Sequence[str] = (),
        busy_ms: int = BUSY_MS,
        may_be_new: bool = True,
    ) -> Database:
        """Connect, bring the tables up to date, and check that the master key is theirs.

        Replicas need not be there yet. `may_be_new`: one without users is a beginning; else its users got
        lost. Raises Unavailable, Corrupt, Invalid.
        """
        replicas = [_replica_of(each) for each in replica_urls]
        place = place_of(url, busy_ms=busy_ms)
        database = cls(place, Replicas(place, replicas) if replicas else None)
        try:
            await database.write(lambda db: _set_up(db, master_key, may_be_new))
            await database.scrub()
            if database._replicas is not None:
                await database._replicas.start()
        except BaseException:
            await database.close()
            raise
        return database

    async def read(self, work: Work[T]) -> T:
        """What `work` finds. Raises Unavailable."""
        with driver_errors(self._place.file):
            return await self._place.read(work)

    @property
    def has_replicas(self) -> bool:
        return self._replicas is not None

    async def browse(self, work: Work[T]) -> T:
        """As `read`, perhaps some seconds late: may come from a replica. Raises Unavailable."""
        with driver_errors(self._place.file):
            return await (self._replicas or self._place).read(work)

    async def write(self, work: Work[T]) -> T:
        """A transaction: all of it is durable on return, or none. Raises Unavailable and the meaning of a broken
        constraint."""
        with driver_errors(self._place.file):
            return await self._place.write(work)

    async def scrub(self) -> bool:
        """Rid the files of what was overwritten: SQLite's write-ahead log keeps old pages until it is emptied.

        False, and a line in the log, if that must wait: readers or a writer were in the way. It is done again
        with the next erasure step, and on opening.
        """
        try:
            is_clean = await self.read(_empty_write_ahead_log)
        except Unavailable:
            is_clean = False
        if not is_clean:
            log.warning("erased data still stands in the write-ahead log: it is removed later")
        return is_clean

    async def close(self) -> None:
        if self._replicas is not None:
            await self._replicas.close()
        await self._place.close()


def _replica_of(url: str) -> Replica:
    parts = make_url(url)
    if parts.get_backend_name() != "postgresql":
        raise Invalid("a replica of the accounts can only be one of PostgreSQL")
    return Replica(PostgresPlace(parts, patience_s=REPLICA_PATIENCE_S), f"{parts.host}:{parts.port or 5432}")


def sqlite_url(path: Path) -> str:
    """The URL of a file, which only its owner may read; made if need be. Raises Unusable."""
    with translated(path):
        private_file(path)
    return f"sqlite:///{path}"


def _empty_write_ahead_log(db: Connection) -> bool:
    if db.dialect.name != "sqlite":
        return True
    busy = db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
    return not busy


def _set_up(db: Connection, master_key: MasterKey, may_be_new: bool) -> None:
    upgrade(db)
    # Users that were erased keep their row; so where there is none, nobody was ever here.
    if not may_be_new and db.scalar(select(UserRow.user_id).limit(1)) is None:
        raise Corrupt(
            f"there are no accounts in {db.engine.url.database}, though there is a log: name the right database, "
            "or restore a backup (docs/operating.md, A damaged file)"
        )
    name = "master_key"
    found = db.scalar(select(InstallationRow.value).where(InstallationRow.name == name))
    if found is None:
        db.execute(insert(InstallationRow).values(name=name, value=master_key.fingerprint))
    elif not hmac.compare_digest(found, master_key.fingerprint):
        raise Corrupt("the accounts were made with another master key: give that one")
