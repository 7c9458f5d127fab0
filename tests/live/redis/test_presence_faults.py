"""Presence in Redis while gateways and Redis itself fail."""

from __future__ import annotations

import asyncio

import pytest

from api.presence import ALIVE_S, BEAT_S, PresenceTracker
from commands.errors import Unavailable
from infra.cluster.redis import Redis
from infra.memory.fanout import MemoryFanout
from infra.redis.presence import LEASE_S, RedisPresence
from tests.support.hearing import Hearing
from tests.support.history import ANA, BEN, Clock
from tests.support.redis import PATIENCE_S, Processes
from tests.support.world import MovedTimers


async def test_of_several_gateways_exactly_one_sweeps(around: Processes) -> None:
    clock = Clock()
    stores = [await around.presence(f"g{number}", clock) for number in range(4)]
    await stores[0].beat("g0")
    await stores[0].put("g0", {ANA: "online", BEN: "away"})
    clock.move(ALIVE_S)
    swept = await asyncio.gather(*(store.sweep() for store in stores))
    assert sorted(map(sorted, swept)) == [[], [], [], sorted([ANA, BEN])]


async def test_a_sweeper_that_died_is_followed_by_another(around: Processes) -> None:
    clock = Clock()
    first, second = await around.presence("first", clock), await around.presence("second", clock)
    assert await first.sweep() == []  # and is not heard of again
    await second.beat("dead", 0.0)
    await second.put("dead", {ANA: "online"})
    clock.move(LEASE_S - 0.001)
    assert await second.sweep() == []
    clock.move(0.001)
    assert await second.sweep() == [ANA]


async def test_what_arrives_late_changes_nothing(around: Processes) -> None:
    """A server that stood still carries out what a broken line left behind, after what came on the next one."""
    clock, behind = Clock(), Clock()
    store, late = await around.presence("now", clock), await around.presence("late", behind)
    clock.move(10)
    await store.beat("g1")
    await store.drop("g1", [ANA])
    await store.put("g1", {BEN: "away"})
    await late.put("g1", {ANA: "online", BEN: "online"})
    found = await store.query([ANA, BEN])
    assert (found[ANA].status, found[BEN].status) == ("offline", "away")


async def test_everything_is_unavailable_while_redis_is(own_redis: Redis, around: Processes) -> None:
    store = await around.presence("g1", Clock())
    own_redis.pause()
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await store.query([ANA])
    assert asyncio.get_running_loop().time() - started < 4 * PATIENCE_S
    own_redis.resume()
    own_redis.kill()
    for ask in (
        store.beat("g1"),
        store.put("g1", {ANA: "online"}),
        store.drop("g1", [ANA]),
        store.query([ANA]),
        store.sweep(),
    ):
        with pytest.raises(Unavailable):
            await ask


async def test_presence_comes_back_by_itself_after_redis_lost_it(own_redis: Redis, around: Processes) -> None:
    timers, fanout, heard = MovedTimers(), MemoryFanout(), Hearing()
    fanout.attach(heard)
    await fanout.watch([ANA])
    store = await around.presence("g1", timers.now)
    tracker = PresenceTracker(store, fanout, timers, gateway_id="g1")
    await tracker.start()
    tracker.begin(ANA)
    await heard.heard("presence", ANA)
    assert (await asked(store)) == "online"

    own_redis.kill()
    own_redis.start()
    heard.forget()
    assert await asked(store) == "offline"
    timers.move(BEAT_S)
    await heard.heard("presence", ANA)
    assert await asked(store) == "online"
    await tracker.stop()


async def asked(store: RedisPresence) -> str:
    """Ana's status, as soon as Redis is there again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return (await store.query([ANA]))[ANA].status
            except Unavailable:
                await asyncio.sleep(0.01)
