"""A store of presence that forgot what it was told, or gave a gateway up, is told again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from api.presence import ALIVE_S, BEAT_S, PresenceTracker
from infra.memory.fanout import MemoryFanout
from infra.memory.presence import MemoryPresence
from tests.support.hearing import Hearing
from tests.support.history import ANA, BEN
from tests.support.world import MovedTimers, settle


class Forgetful(MemoryPresence):
    def forget(self) -> None:
        """As a server does that keeps nothing and starts again."""
        self.__init__(self._now)  # type: ignore[misc]


class Timers(MovedTimers):
    def jump(self, seconds: float) -> None:
        """Let time pass without anything being called."""
        self._time += seconds


@dataclass
class Setting:
    timers: Timers
    store: Forgetful
    tracker: PresenceTracker
    heard: Hearing

    async def statuses(self) -> list[str]:
        found = await self.store.query([ANA, BEN])
        return [found[ANA].status, found[BEN].status]

    async def pass_time(self, seconds: float) -> None:
        self.timers.move(seconds)
        await settle()


@pytest.fixture
async def its() -> AsyncIterator[Setting]:
    timers, fanout, heard = Timers(), MemoryFanout(), Hearing()
    fanout.attach(heard)
    await fanout.watch([ANA, BEN])
    store = Forgetful(timers.now)
    tracker = PresenceTracker(store, fanout, timers, gateway_id="g1")
    await tracker.start()
    tracker.begin(ANA)
    tracker.begin(BEN)
    tracker.change(BEN, "online", "away")
    await settle()
    heard.forget()
    yield Setting(timers, store, tracker, heard)
    await tracker.stop()


async def test_a_store_that_lost_everything_is_told_at_the_next_beat_and_watchers_hear_of_it(its: Setting) -> None:
    its.store.forget()
    assert await its.statuses() == ["offline", "offline"]
    await its.pass_time(BEAT_S)
    assert await its.statuses() == ["online", "away"]
    assert sorted(map(str, its.heard.calls)) == sorted(map(str, [("presence", ANA), ("presence", BEN)]))


async def test_a_gateway_that_stood_still_and_was_given_up_speaks_again(its: Setting) -> None:
    its.timers.jump(ALIVE_S)  # nothing here ran, as under SIGSTOP
    assert sorted(await its.store.sweep()) == sorted([ANA, BEN])
    assert await its.statuses() == ["offline", "offline"]
    await its.pass_time(BEAT_S)
    assert await its.statuses() == ["online", "away"]


async def test_a_store_that_kept_everything_is_told_a_share(its: Setting) -> None:
    await its.pass_time(BEAT_S)
    assert its.heard.calls == []
