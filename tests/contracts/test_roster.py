"""What every roster of running processes must do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from api.operations import ALIVE_S, Process, Roster
from infra.cluster.redis import Redis
from infra.memory.roster import MemoryRoster
from infra.redis.roster import RedisRoster
from tests.support.history import NOON, Clock
from tests.support.redis import processes

GATEWAY = Process(name="gateway-1", kind="gateway", version="1.2", since=NOON, sessions=3, users=2)
WORKER = Process(name="worker-1", kind="worker", version="1.2", since=NOON, partitions=(0, 3))


@pytest.fixture(params=["memory", "redis"])
async def roster(request: pytest.FixtureRequest) -> AsyncIterator[Roster]:
    if request.param == "memory":
        yield MemoryRoster(Clock())
        return
    server: Redis = request.getfixturevalue("redis")
    namespace = uuid4().hex
    async with processes(server.url, namespace) as each:
        yield RedisRoster(await each.connection("one"), namespace=namespace)


async def test_processes_are_told_by_name_as_they_last_were(roster: Roster) -> None:
    assert await roster.all() == []
    await roster.tell(WORKER)
    await roster.tell(GATEWAY)
    assert await roster.all() == [GATEWAY, WORKER]
    later = Process(name="gateway-1", kind="gateway", version="1.3", since=NOON, sessions=4)
    await roster.tell(later)
    assert await roster.all() == [later, WORKER]


async def test_who_is_silent_for_too_long_is_gone_in_memory() -> None:
    clock = Clock()
    roster = MemoryRoster(clock)
    await roster.tell(GATEWAY)
    clock.move(ALIVE_S)
    assert await roster.all() == [GATEWAY]
    clock.move(1)
    assert await roster.all() == []


@pytest.mark.needs("redis")
async def test_who_is_silent_for_too_long_is_gone_in_redis(redis: Redis) -> None:
    namespace = uuid4().hex
    async with processes(redis.url, namespace) as each:
        connection = await each.connection("one")
        roster = RedisRoster(connection, namespace=namespace)
        await roster.tell(GATEWAY)
        await roster.tell(WORKER)
        key = f"tidings:{namespace}:{{processes}}"
        assert 0 < await connection.run("PTTL", f"{key}:gateway-1") <= ALIVE_S * 1000
        await connection.run("DEL", f"{key}:gateway-1")  # as if its time had come
        assert await roster.all() == [WORKER]
        assert await connection.run("SMEMBERS", key) == [b"worker-1"]
