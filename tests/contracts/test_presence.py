"""What every store of presence must do, for gateways that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from api.presence import ALIVE_S, TTL_S, Presence, Seen
from infra.cluster.redis import Redis
from infra.memory.presence import MemoryPresence
from infra.redis.presence import LEASE_S
from tests.support.history import ANA, BEN, CLEO, DAN, NOON, Clock
from tests.support.redis import processes

NOBODY = Seen("offline", None)


@dataclass
class Setting:
    """Two gateways, g1 and g2, with what each has of the store."""

    g1: Presence
    g2: Presence
    clock: Clock

    async def begin(self) -> None:
        await self.g1.beat("g1")
        await self.g2.beat("g2")

    async def pass_time(self, seconds: float, *alive: str) -> None:
        """Let time pass; the gateways named go on beating."""
        while seconds > 0:
            self.clock.move(min(seconds, ALIVE_S / 2))
            seconds -= ALIVE_S / 2
            for name in alive:
                await self.g1.beat(name)

    async def ask(self, user_id: str) -> Seen:
        """As both gateways see it."""
        (here,) = (await self.g1.query([user_id])).values()
        (there,) = (await self.g2.query([user_id])).values()
        assert here == there
        return here


@pytest.fixture(params=["memory", "redis"])
async def them(request: pytest.FixtureRequest) -> AsyncIterator[Setting]:
    clock = Clock()
    if request.param == "memory":
        store = MemoryPresence(clock)
        setting = Setting(store, store, clock)
        await setting.begin()
        yield setting
        return
    server: Redis = request.getfixturevalue("redis")
    async with processes(server.url, uuid4().hex) as each:
        setting = Setting(await each.presence("g1", clock), await each.presence("g2", clock), clock)
        await setting.begin()
        yield setting


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def test_who_never_was_is_offline(them: Setting) -> None:
    assert await them.g1.query([ANA, BEN]) == {ANA: NOBODY, BEN: NOBODY}
    assert await them.g1.query([]) == {}


async def test_everybody_asked_for_is_answered_however_many(them: Setting) -> None:
    many = [f"user-{number}" for number in range(1_300)]
    await them.g1.put("g1", dict.fromkeys(many[:700], "online"))
    found = await them.g2.query(many)
    assert [found[user_id].status for user_id in many] == ["online"] * 700 + ["offline"] * 600
    await them.g1.drop("g1", many)
    assert {seen.status for seen in (await them.g2.query(many)).values()} == {"offline"}


async def test_any_online_beats_away(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "away"})
    assert (await them.ask(ANA)).status == "away"
    await them.g2.put("g2", {ANA: "online"})
    assert (await them.ask(ANA)).status == "online"
    await them.g2.put("g2", {ANA: "away"})
    assert (await them.ask(ANA)).status == "away"
    await them.g1.put("g1", {ANA: "online"})
    await them.g2.drop("g2", [ANA])
    assert (await them.ask(ANA)).status == "online"
    await them.g1.drop("g1", [ANA])
    assert (await them.ask(ANA)).status == "offline"


async def test_last_seen_is_when_the_last_session_ended(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online"})
    await them.pass_time(20, "g1", "g2")
    await them.g1.drop("g1", [ANA])
    await them.pass_time(50, "g1", "g2")
    assert await them.ask(ANA) == Seen("offline", at(20))


async def test_last_seen_of_somebody_present_is_the_gateways_last_beat(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online"})
    them.clock.move(8)
    await them.g1.beat("g1")
    them.clock.move(3)
    assert await them.ask(ANA) == Seen("online", at(8))


async def test_what_a_silent_gateway_said_does_not_count(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online", BEN: "online"})
    await them.g2.put("g2", {BEN: "away"})
    await them.pass_time(ALIVE_S, "g2")
    assert await them.ask(ANA) == Seen("offline", at(0))
    assert (await them.ask(BEN)).status == "away"


async def test_a_gateway_that_says_goodbye_counts_a_little_longer(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online"})
    await them.g1.beat("g1", 5.0)
    them.clock.move(4)
    assert (await them.ask(ANA)).status == "online"
    them.clock.move(1)
    assert (await them.ask(ANA)).status == "offline"


async def test_a_gateway_learns_that_it_was_given_up(them: Setting) -> None:
    assert not await them.g1.beat("g3")
    assert await them.g1.beat("g3")
    them.clock.move(ALIVE_S)
    assert not await them.g1.beat("g3")
    assert await them.g1.beat("g3")
    them.clock.move(ALIVE_S)
    await them.g2.sweep()
    assert not await them.g1.beat("g3")


async def test_a_sweep_tells_whom_a_silent_gateway_had(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online", BEN: "online"})
    await them.g2.put("g2", {BEN: "online", CLEO: "online"})
    assert await them.g2.sweep() == []
    await them.pass_time(ALIVE_S, "g2")
    assert sorted(await them.g2.sweep()) == sorted([ANA, BEN])
    assert await them.g2.sweep() == []
    assert await them.ask(ANA) == Seen("offline", at(0))
    assert [(await them.ask(user_id)).status for user_id in (BEN, CLEO)] == ["online", "online"]


async def test_a_sweep_tells_many(them: Setting) -> None:
    many = [f"user-{number}" for number in range(1_100)]
    await them.g1.put("g1", dict.fromkeys(many, "online"))
    await them.pass_time(ALIVE_S, "g2")
    assert sorted(await them.g2.sweep()) == sorted(many)
    assert await them.g2.sweep() == []


async def test_a_status_that_nobody_renews_is_forgotten_after_half_an_hour(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online", BEN: "online"})
    await them.pass_time(TTL_S / 2, "g1", "g2")
    await them.g1.put("g1", {BEN: "online"})
    await them.pass_time(TTL_S / 2, "g1", "g2")
    assert ((await them.ask(ANA)).status, (await them.ask(BEN)).status) == ("offline", "online")
    assert await them.g2.sweep() == [ANA]
    assert await them.g2.sweep() == []


async def test_who_said_goodbye_before_is_not_told_of_in_a_sweep(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online", BEN: "online"})
    await them.g1.drop("g1", [ANA, DAN])
    await them.pass_time(ALIVE_S, "g2")
    assert await them.g2.sweep() == [BEN]


async def test_somebody_who_came_back_elsewhere_stays_online_through_the_sweep(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online"})
    await them.pass_time(ALIVE_S, "g2")
    await them.g2.put("g2", {ANA: "online"})
    assert await them.g2.sweep() == [ANA]  # may change, and did not
    assert (await them.ask(ANA)).status == "online"


async def test_a_gateway_that_comes_back_is_swept_no_more(them: Setting) -> None:
    await them.g1.put("g1", {ANA: "online"})
    them.clock.move(ALIVE_S)
    await them.g2.beat("g2")
    assert await them.g2.sweep() == [ANA]
    await them.g1.beat("g1")
    await them.g1.put("g1", {ANA: "online"})
    assert await them.g2.sweep() == []
    them.clock.move(LEASE_S)
    assert await them.g1.sweep() == []
    assert (await them.ask(ANA)).status == "online"
