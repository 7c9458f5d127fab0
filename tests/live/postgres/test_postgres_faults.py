"""Accounts in PostgreSQL while it is set up, lost and found again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url, text

from commands.errors import Corrupt, Invalid, Unavailable
from infra.cluster.postgres import Postgres
from infra.master_key import MasterKey
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database
from infra.sql.inspection import look_at
from infra.sql.postgres_place import PostgresPlace
from infra.sql.tables import Table
from tests.support.needs import require
from tests.support.people import MASTER, PASSWORD, site
from tests.support.postgres import database, empty_database

KEY = MasterKey(MASTER)


@pytest.fixture(scope="module")
def breakable(service_folder: Path) -> Iterator[Postgres]:
    require("postgres")
    server = Postgres(service_folder / "breakable-postgres")
    yield server
    server.kill()


@pytest.fixture
def own_postgres(breakable: Postgres) -> Postgres:
    """One that a test may kill and hold; it runs."""
    breakable.start()
    return breakable


async def test_tables_and_migrations_agree(postgres: Postgres) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Table.metadata))

    opened = await Database.open(await database(postgres), KEY)
    assert await opened.read(differences) == []
    await opened.close()


async def test_gateways_that_start_at_once_migrate_once(postgres: Postgres) -> None:
    url = await empty_database(postgres)
    opened = await asyncio.gather(*(Database.open(url, KEY) for _ in range(4)))
    for each in opened:
        await SqlAccounts(each, KEY).ping()
        await each.close()
    looked = await look_at(url)
    assert (looked.revision, looked.users) == (looked.newest, 0)


async def test_a_database_made_with_another_master_key_is_not_opened(postgres: Postgres) -> None:
    with pytest.raises(Corrupt, match="another master key"):
        await Database.open(await database(postgres), MasterKey(b"x" * 32))


async def test_only_postgresql_has_replicas(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="only be one of PostgreSQL"):
        await Database.open(f"sqlite:///{tmp_path}/a.db", KEY, replica_urls=[f"sqlite:///{tmp_path}/b.db"])


async def test_a_transaction_that_fails_midway_leaves_nothing_behind(postgres: Postgres, tmp_path: Path) -> None:
    async with site(tmp_path, url=await database(postgres)) as its:

        def fail_midway(db: Connection) -> None:
            db.execute(text("DELETE FROM installation"))
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await its.database.write(fail_midway)
        names = await its.database.read(lambda db: db.execute(text("SELECT name FROM installation")).scalars().all())
        assert sorted(names) == ["master_key", "oldest_code"]


async def test_a_server_that_died_is_unavailable_and_then_back_with_everything(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    async with site(tmp_path, url=await database(own_postgres)) as its:
        signed_in = await its.accounts.register("ana", PASSWORD)
        own_postgres.kill()
        for ask in (its.accounts.login("ana", PASSWORD), its.accounts.ping(), its.accounts.register("ben", PASSWORD)):
            with pytest.raises(Unavailable):
                await ask
        own_postgres.start()
        assert (await its.accounts.login("ana", PASSWORD)).user == signed_in.user
        await its.accounts.register("ben", PASSWORD)


async def test_connections_that_the_server_ended_are_replaced(own_postgres: Postgres, tmp_path: Path) -> None:
    async with site(tmp_path, url=await database(own_postgres)) as its:
        await asyncio.gather(*(its.accounts.ping() for _ in range(5)))
        own_postgres.stop()
        own_postgres.start()
        await asyncio.gather(*(its.accounts.ping() for _ in range(5)))


async def test_a_server_that_does_not_answer_costs_its_callers_no_more_than_their_patience(
    own_postgres: Postgres,
) -> None:
    place = PostgresPlace(make_url(own_postgres.url), patience_s=1.0, connections=2)

    async def ask() -> int:
        return await place.read(lambda db: int(db.execute(text("SELECT 1")).scalar_one()))

    assert await ask() == 1
    own_postgres.pause()
    loop = asyncio.get_running_loop()
    started = loop.time()
    answers = await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimeoutError] * 6
    assert loop.time() - started < 4.0
    own_postgres.resume()
    async with asyncio.timeout(30):
        while isinstance((await asyncio.gather(ask(), return_exceptions=True))[0], TimeoutError):
            pass  # each try takes its patience
    await place.close()
    assert place.under_way == 0
