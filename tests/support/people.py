"""Accounts on a real SQLite file or in PostgreSQL, with quick passwords and a clock that tests move."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from commands.accounts import Accounts
from commands.devices import Devices
from commands.errors import TidingsError
from commands.sealing import Sealer
from commands.sessions import EndedSessions, RefreshTokens, Sessions
from infra.master_key import MasterKey, derive
from infra.passwords import Argon2Passwords
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database, sqlite_url
from infra.sql.devices import SqlDevices
from infra.sql.keys import SqlKeys
from infra.sql.sessions import SqlSessions
from infra.tokens import JwtTokens

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse"
MASTER = b"m" * 32
SIGNING = b"j" * 32


class Clock:
    """Aware UTC; `monotonic` moves along."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOON).total_seconds()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Chats:
    """Stands for leaving all chats: notes who left, and fails while `failing` is set."""

    left: list[str] = field(default_factory=list)
    failing: TidingsError | None = None

    async def leave(self, user_id: str) -> None:
        if self.failing is not None:
            raise self.failing
        self.left.append(user_id)


@dataclass
class Site:
    """Everything of accounts, wired as the composition root does."""

    path: Path
    clock: Clock
    chats: Chats
    database: Database
    store: SqlAccounts
    session_store: SqlSessions
    device_store: SqlDevices
    keys: SqlKeys
    passwords: Argon2Passwords
    ended: EndedSessions
    tokens: JwtTokens
    sessions: Sessions
    accounts: Accounts
    devices: Devices
    sealer: Sealer


@cache
def _empty_database() -> bytes:
    """The file of a database that was just opened for the first time, so that tests need not migrate each."""
    import asyncio
    from threading import Thread

    with TemporaryDirectory() as folder:
        path = Path(folder) / "accounts.db"

        async def make() -> None:
            database = await Database.open(sqlite_url(path), MasterKey(MASTER))
            await database.scrub()
            await database.close()

        maker = Thread(target=lambda: asyncio.run(make()))  # a loop of its own: the caller's is running
        maker.start()
        maker.join()
        return path.read_bytes()


@asynccontextmanager
async def site(
    folder: Path,
    clock: Clock | None = None,
    busy_ms: int = 1000,
    url: str | None = None,
    replica_urls: Sequence[str] = (),
) -> AsyncIterator[Site]:
    """Open the accounts in a folder, made if they are not there yet, or those at a URL."""
    path = folder / "accounts.db"
    if url is None and not path.exists():
        path.write_bytes(_empty_database())
    clock = clock or Clock()
    chats = Chats()
    master_key = MasterKey(MASTER)
    database = await Database.open(url or sqlite_url(path), master_key, replica_urls=replica_urls, busy_ms=busy_ms)
    passwords = Argon2Passwords(time_cost=1, memory_kib=8)
    try:
        store, session_store = SqlAccounts(database, master_key), SqlSessions(database)
        device_store = SqlDevices(database)
        keys = SqlKeys(database, master_key)
        ended = EndedSessions(clock)
        tokens = JwtTokens(SIGNING, clock, ended)
        refresh_tokens = RefreshTokens(derive(SIGNING, "refresh tokens"))
        sessions = Sessions(session_store, tokens, refresh_tokens, ended, clock)
        accounts = Accounts(store, sessions, passwords, clock, chats.leave)
        sealer = Sealer(keys, clock=clock.monotonic)
        accounts.observers.append(sealer.forget)
        await sessions.start()
        yield Site(
            path,
            clock,
            chats,
            database,
            store,
            session_store,
            device_store,
            keys,
            passwords,
            ended,
            tokens,
            sessions,
            accounts,
            Devices(device_store, clock),
            sealer,
        )
    finally:
        passwords.close()
        await database.close()


def copy_of(folder: Path, to: Path) -> None:
    """A backup, of a database that nobody has open."""
    shutil.copytree(folder, to)
