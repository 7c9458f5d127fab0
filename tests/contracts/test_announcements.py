"""Announcements between processes, and what two gateways on one database make of them and do without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from commands.announcements import Announcements, KeyDestroyed, News, Newsroom, SessionEnded
from commands.errors import BadToken, Unavailable
from infra.cluster.redis import Redis
from infra.memory.announcements import MemoryAnnouncements
from tests.support.history import ANA, BEN
from tests.support.people import NOON, PASSWORD, Clock, Site, site
from tests.support.redis import processes


@dataclass
class Noting:
    """What an observer heard."""

    news: list[News] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, news: News) -> None:
        self.news.append(news)
        self.changed.set()

    async def until(self, count: int) -> list[News]:
        async with asyncio.timeout(10):
            while len(self.news) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.news


@pytest.fixture(params=["memory", "redis"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Announcements, Announcements]]:
    """Those of two processes."""
    if request.param == "memory":
        board: list[MemoryAnnouncements] = []
        yield MemoryAnnouncements(board), MemoryAnnouncements(board)
        return
    server: Redis = request.getfixturevalue("redis")
    async with processes(server.url, uuid4().hex) as each:
        yield await each.announcements("one"), await each.announcements("other")


async def test_the_others_hear_what_is_told_as_it_was(both: tuple[Announcements, Announcements]) -> None:
    one, other = both
    heard, answer = Noting(), Noting()
    other.observers.append(heard.hear)
    ended = SessionEnded("s1", ANA, NOON + timedelta(microseconds=7))
    one.tell(ended)
    one.tell(KeyDestroyed(BEN))
    assert await heard.until(2) == [ended, KeyDestroyed(BEN)]
    one.observers.append(answer.hear)
    other.tell(KeyDestroyed(ANA))
    assert (await answer.until(1))[-1] == KeyDestroyed(ANA)


class Deaf:
    """Announcements that reach nobody."""

    def __init__(self) -> None:
        self.observers: list[object] = []

    def tell(self, news: News) -> None:
        """Lost."""


@dataclass
class Gateway:
    site: Site
    newsroom: Newsroom


async def gateway(stack: AsyncExitStack, folder: Path, clock: Clock, announcements: Announcements) -> Gateway:
    its = await stack.enter_async_context(site(folder, clock))
    newsroom = Newsroom(announcements, its.session_store, its.keys, its.ended, its.sealer, clock)
    newsroom.speak_for(its.sessions, its.accounts)
    return Gateway(its, newsroom)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


def is_accepted(its: Site, token: str) -> bool:
    try:
        its.tokens.verify(token)
    except BadToken:
        return False
    return True


@pytest.mark.parametrize("are_heard", [True, False])
async def test_a_sign_out_and_an_erasure_hold_at_every_gateway(
    tmp_path: Path, stack: AsyncExitStack, are_heard: bool
) -> None:
    clock, board = Clock(), list[MemoryAnnouncements]()
    made = [MemoryAnnouncements(board) if are_heard else Deaf() for _ in range(2)]
    here, there = [await gateway(stack, tmp_path, clock, each) for each in made]  # type: ignore[arg-type]
    ana = await here.site.accounts.register("ana", PASSWORD)
    ben = await here.site.accounts.register("ben", PASSWORD)
    told: list[str] = []
    there.site.ended.observers.append(lambda session_id, user_id: told.append(user_id))
    await there.site.sealer.warm([ben.user.user_id])
    sealed = there.site.sealer.seal("c1", "m1", ben.user.user_id, "hi")
    clock.advance(1)

    await here.site.sessions.end_by(ana.refresh_token)
    await here.site.accounts.erase(ben.user.user_id, PASSWORD)
    if not are_heard:
        assert is_accepted(there.site, ana.access_token)
        await there.newsroom.ask()
        await there.newsroom.ask()
    assert not is_accepted(there.site, ana.access_token)
    assert not is_accepted(there.site, ben.access_token)
    assert there.site.sealer.open("c1", "m1", ben.user.user_id, sealed) is None
    assert sorted(told) == sorted([ana.user.user_id, ben.user.user_id]), "each once"


async def test_what_became_visible_late_is_found_too(tmp_path: Path, stack: AsyncExitStack) -> None:
    """A commit takes its time, and clocks differ."""
    clock = Clock()
    here, there = [await gateway(stack, tmp_path, clock, Deaf()) for _ in range(2)]  # type: ignore[arg-type]
    ana = await here.site.accounts.register("ana", PASSWORD)
    clock.advance(30)
    await there.newsroom.ask()
    clock.advance(-20)
    await here.site.sessions.end_by(ana.refresh_token)
    clock.advance(25)
    await there.newsroom.ask()
    assert not is_accepted(there.site, ana.access_token)


async def test_what_happened_while_sql_was_away_is_found_afterwards(tmp_path: Path, stack: AsyncExitStack) -> None:
    clock = Clock()
    here, there = [await gateway(stack, tmp_path, clock, Deaf()) for _ in range(2)]  # type: ignore[arg-type]
    ana = await here.site.accounts.register("ana", PASSWORD)
    await here.site.sessions.end_by(ana.refresh_token)
    for _ in range(3):
        clock.advance(100)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(there.site.database, "read", _away)
            with pytest.raises(Unavailable):
                await there.newsroom.ask()
    await there.newsroom.ask()
    assert not is_accepted(there.site, ana.access_token)


async def _away(work: object) -> None:
    raise Unavailable("SQL is away")
