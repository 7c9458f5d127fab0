"""The database under the accounts: migrations, durability, the master key, and what driver errors become."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from commands.errors import Corrupt, Invalid, Unavailable
from infra.master_key import MasterKey
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database, sqlite_url
from infra.sql.keys import SqlKeys
from infra.sql.tables import Table
from tests.support.people import MASTER, PASSWORD, site


async def test_tables_and_migrations_agree(tmp_path: Path) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Table.metadata))

    database = await Database.open(sqlite_url(tmp_path / "accounts.db"), MasterKey(MASTER))
    assert await database.read(differences) == []
    await database.close()


async def test_opening_twice_at_once_migrates_once(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "accounts.db")
    opened = await asyncio.gather(*(Database.open(url, MasterKey(MASTER)) for _ in range(4)))
    for database in opened:
        await SqlAccounts(database, MasterKey(MASTER)).ping()
        await database.close()


async def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    async with site(tmp_path) as its:
        registered = await its.accounts.register("ana", PASSWORD)
        keys = await its.keys.load([registered.user.user_id])
    async with site(tmp_path) as its:
        assert (await its.accounts.login("ana", PASSWORD)).user == registered.user
        assert await its.keys.load([registered.user.user_id]) == keys


async def test_a_commit_is_on_disk_before_it_returns(tmp_path: Path) -> None:
    def settings(db: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete")
        return {name: db.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names}

    async with site(tmp_path) as its:
        found = await its.database.write(settings)
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 1000,
        "secure_delete": 1,
    }


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("accounts.db*")}


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    database = await Database.open(sqlite_url(tmp_path / "accounts.db"), MasterKey(MASTER))
    found = modes(tmp_path)
    await database.close()
    assert found == {0o600}


async def test_a_database_made_with_another_master_key_is_not_opened(tmp_path: Path) -> None:
    async with site(tmp_path) as its:
        url = sqlite_url(its.path)
    with pytest.raises(Corrupt, match="another master key"):
        await Database.open(url, MasterKey(b"x" * 32))


async def test_a_key_moved_to_another_user_does_not_open(tmp_path: Path) -> None:
    async with site(tmp_path) as its:
        ana = (await its.accounts.register("ana", PASSWORD)).user.user_id
        ben = (await its.accounts.register("ben", PASSWORD)).user.user_id
        theirs = "(SELECT wrapped FROM data_keys WHERE user_id = ?)"
        await its.database.write(
            lambda db: db.exec_driver_sql(f"UPDATE data_keys SET wrapped = {theirs} WHERE user_id = ?", (ana, ben))
        )
        with pytest.raises(Corrupt):
            await its.keys.load([ben])
        assert await SqlKeys(its.database, MasterKey(MASTER)).load([ana])


async def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await Database.open(f"sqlite:///{tmp_path}/missing/accounts.db", MasterKey(MASTER))


async def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(Invalid, match="not in mysql"):
        await Database.open("mysql://localhost/accounts", MasterKey(MASTER))


async def test_writers_queue_in_the_process_and_wait_for_nobody_else(tmp_path: Path) -> None:
    """With `busy_ms=0` SQLite refuses whoever finds its lock taken."""
    async with site(tmp_path, busy_ms=0) as its:
        await asyncio.gather(*(its.accounts.register(f"user{number}", PASSWORD) for number in range(30)))
        assert len((await its.store.search("user", None, 50)).users) == 30


async def test_a_write_that_waits_too_long_is_unavailable_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with site(tmp_path, busy_ms=20) as its:
        await its.accounts.register("ana", PASSWORD)
        blocker = sqlite3.connect(its.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await its.accounts.register("ben", PASSWORD)
        assert await its.store.by_username("ana") is not None  # reading goes on
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await its.store.by_username("ben") is None
        await its.accounts.register("ben", PASSWORD)


async def test_a_transaction_that_fails_midway_leaves_nothing_behind(tmp_path: Path) -> None:
    async with site(tmp_path) as its:

        def fail_midway(db: Connection) -> None:
            db.exec_driver_sql("INSERT INTO installation VALUES ('x', x'00')")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await its.database.write(fail_midway)
        rows = await its.database.read(lambda db: db.exec_driver_sql("SELECT name FROM installation").scalars().all())
        assert sorted(rows) == ["master_key", "oldest_code"]


async def test_a_broken_constraint_that_means_nothing_to_users_stays_what_it_is(tmp_path: Path) -> None:
    async with site(tmp_path) as its:
        with pytest.raises(IntegrityError):
            await its.accounts.set_mute("nobody", "c1", its.clock())
