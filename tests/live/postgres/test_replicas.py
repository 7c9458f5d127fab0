"""Reads from real streaming replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from commands.errors import Unavailable
from events.ids import uuid7
from infra.cluster.postgres import Postgres
from infra.sql.places import T, Work
from infra.sql.postgres_place import PostgresPlace
from infra.sql.replicas import Replica, Replicas
from tests.support.needs import require
from tests.support.people import NOON, PASSWORD, site
from tests.support.postgres import database

PATIENCE_S = 0.5
PORT = "SELECT inet_server_port()"


@dataclass
class Servers:
    primary: Postgres
    replica: Postgres


@pytest.fixture(scope="module")
def servers(service_folder: Path) -> Iterator[Servers]:
    require("postgres")
    primary = Postgres(service_folder / "primary")
    primary.start()
    replica = Postgres(service_folder / "replica", replica_of=primary)
    replica.start()
    yield Servers(primary, replica)
    replica.kill()
    primary.kill()


@dataclass
class Setting:
    servers: Servers
    primary: PostgresPlace
    replica: Replica
    replicas: Replicas

    async def asked(self) -> str:
        """Which server a read goes to."""
        port = await self.replicas.read(lambda db: int(db.execute(text(PORT)).scalar_one()))
        ports = {self.servers.primary.ports["postgres"]: "primary", self.servers.replica.ports["postgres"]: "replica"}
        return ports[port]

    async def until_fit(self) -> None:
        async with asyncio.timeout(30):
            while not self.replica.is_fit:
                await self.replicas.compare()

    async def write(self) -> None:
        await self.primary.write(lambda db: db.execute(text("SELECT pg_logical_emit_message(true, 'test', 'x')")).all())


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[Setting]:
    """Compared only when a test says so; a replica must have at once what the primary had."""
    servers.primary.start()
    servers.replica.start()
    primary = PostgresPlace(make_url(servers.primary.url), patience_s=PATIENCE_S)
    replica = Replica(PostgresPlace(make_url(servers.replica.url), patience_s=PATIENCE_S), "replica")
    replicas = Replicas(primary, [replica], max_lag_s=0.0)
    setting = Setting(servers, primary, replica, replicas)
    await setting.until_fit()
    yield setting
    await replicas.close()
    await primary.close()


async def test_reads_go_to_the_replica(its: Setting) -> None:
    assert await its.asked() == "replica"


async def test_nothing_is_read_from_a_replica_that_was_not_compared_yet(its: Setting) -> None:
    its.replica.is_fit = False
    assert await its.asked() == "primary"


async def test_the_replica_with_the_fewest_reads_is_asked(its: Setting) -> None:
    """The same server twice, once as if busy."""
    asked: list[str] = []

    class Noting(PostgresPlace):
        def __init__(self, name: str, under_way: int) -> None:
            super().__init__(make_url(its.servers.replica.url), patience_s=PATIENCE_S)
            self.name, self.under_way = name, under_way

        async def read(self, work: Work[T]) -> T:
            asked.append(self.name)
            return await super().read(work)

    busy, idle = Replica(Noting("busy", 3), "busy"), Replica(Noting("idle", 1), "idle")
    both = Replicas(its.primary, [busy, idle])
    busy.is_fit = idle.is_fit = True
    await asyncio.gather(*(both.read(lambda db: db.execute(text(PORT)).all()) for _ in range(6)))
    assert asked == ["idle", "idle", "busy", "idle", "busy", "idle"] or asked.count("idle") == 4
    await both.close()


async def test_a_dead_replica_is_left_out_and_taken_back(its: Setting) -> None:
    its.servers.replica.kill()
    assert await its.asked() == "primary"
    assert not its.replica.is_fit
    await its.replicas.compare()
    assert await its.asked() == "primary"
    its.servers.replica.start()
    await its.until_fit()
    assert await its.asked() == "replica"


async def test_a_replica_that_hangs_costs_one_read_its_patience(its: Setting) -> None:
    its.servers.replica.pause()
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await its.asked() == "primary"
    assert await its.asked() == "primary"
    assert loop.time() - started < 4 * PATIENCE_S
    its.servers.replica.resume()
    await its.until_fit()


async def test_a_replica_that_falls_behind_is_left_out(its: Setting) -> None:
    elsewhere = PostgresPlace(make_url(its.servers.replica.url))
    await elsewhere.read(lambda db: db.execute(text("SELECT pg_wal_replay_pause()")).all())
    await its.write()
    await its.replicas.compare()
    assert await its.asked() == "primary"
    await elsewhere.read(lambda db: db.execute(text("SELECT pg_wal_replay_resume()")).all())
    await elsewhere.close()
    await its.until_fit()


async def test_without_the_primary_replicas_go_on_answering(its: Setting) -> None:
    its.servers.primary.kill()
    await its.replicas.compare()
    assert await its.asked() == "replica"
    its.servers.primary.start()


async def test_a_server_that_is_no_replica_is_never_asked(its: Setting) -> None:
    promoted = Replica(PostgresPlace(make_url(its.servers.primary.url)), "promoted")
    replicas = Replicas(its.primary, [promoted])
    await replicas.compare()
    assert not promoted.is_fit
    await replicas.close()


async def test_accounts_are_read_from_replicas_and_new_ones_found(servers: Servers, tmp_path: Path) -> None:
    servers.primary.start()
    servers.replica.start()
    url = await database(servers.primary)
    replica_url = make_url(url).set(port=servers.replica.ports["postgres"]).render_as_string(hide_password=False)
    async with site(tmp_path, url=url, replica_urls=[replica_url]) as its:
        ana = (await its.accounts.register("ana", PASSWORD)).user
        # At once, whether the replica has her yet or not.
        assert await its.accounts.users([ana.user_id, uuid7(NOON)]) == [ana]
        assert await its.accounts.known_users([ana.user_id]) == {ana.user_id}
        async with asyncio.timeout(30):
            while not (await its.accounts.search("ana", None, 5)).users:
                pass  # the replica is milliseconds behind
        servers.replica.kill()
        assert (await its.accounts.search("ana", None, 5)).users == [ana]
        servers.replica.start()
        servers.primary.kill()
        with pytest.raises(Unavailable):
            await its.accounts.login("ana", PASSWORD)
        servers.primary.start()
