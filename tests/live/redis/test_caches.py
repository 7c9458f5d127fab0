"""Copies in Redis of what is read often: never wrong, and never needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.presence import Acquaintance
from events.ids import uuid7
from events.types import ChatCreated, ChatRetitled, MemberAdded, MemberRemoved, MessageSent
from infra.cluster.redis import Redis
from infra.redis import members, newest
from infra.redis.cached_views import CachedViews
from infra.redis.connection import Connection
from infra.redis.members import MemberSetKeeper, MemberSets
from infra.redis.newest import MAX_ENTRY_BYTES, NewestMessages
from infra.sqlite.views import SqliteViews
from projections.fold import snapshot
from projections.inbox import own_chat
from projections.ports import Changes, Page
from projections.timeline import END, newest_messages
from streams.batch import BatchFold
from tests.support.history import ANA, BEN, CLEO, DAN, ROOM, History
from tests.support.redis import Processes


@dataclass
class Setting:
    """Views that are folded into, and the copies over them. While `is_quiet` the fold tells the copies nothing."""

    views: SqliteViews
    cached: CachedViews
    sets: MemberSets
    newest: NewestMessages
    keeper: MemberSetKeeper
    redis: Connection
    namespace: str
    history: History
    fold: BatchFold
    is_quiet: bool = False

    async def add(
        self, actor_id: str, *events: ChatCreated | MessageSent | ChatRetitled | MemberAdded | MemberRemoved
    ) -> Changes:
        done = len(self.history.records)
        self.history.all(actor_id, events)
        changes = snapshot(await self.fold.fold(self.history.records[done:]))
        await self.views.apply(changes)
        if not self.is_quiet:
            self.newest.note(changes)
            self.keeper.note(changes)
        return changes

    def messages(self, count: int, body: bytes = b"sealed") -> list[MessageSent]:
        made = []
        for _ in range(count):
            self.history.clock.move(1)
            made.append(MessageSent(uuid7(self.history.clock()), "TEXT", body))
        return made

    async def page(self, before: int = END, limit: int = 5) -> Page:
        """A page through the copies, which must be what the views give."""
        summary = await own_chat(self.views, ANA, ROOM)
        page = await newest_messages(self.cached, summary, before, limit)
        assert page == await newest_messages(self.views, summary, before, limit)
        return page

    async def offset_of_set(self) -> bytes | None:
        found: bytes | None = await self.redis.run("GET", f"tidings:{self.namespace}:members-at:{{{ROOM}}}")
        return found

    async def dropped_at(self, offset: int) -> None:
        """Return once the fold's change of the members has reached Redis."""
        async with asyncio.timeout(10):
            while await self.offset_of_set() != str(offset).encode():  # noqa: ASYNC110  # Redis tells nobody
                await asyncio.sleep(0.005)


@pytest.fixture
async def its(around: Processes, tmp_path: Path) -> AsyncIterator[Setting]:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 10**6})
    redis = await around.connection("caches", [*newest.SCRIPTS, *members.SCRIPTS])
    kept = NewestMessages(redis, namespace=around.namespace)
    keeper = MemberSetKeeper(redis, namespace=around.namespace)
    sets = MemberSets(redis, views, namespace=around.namespace)
    setting = Setting(
        views, CachedViews(views, kept), sets, kept, keeper, redis, around.namespace, History(), BatchFold(views)
    )
    keeping = asyncio.create_task(keeper.run())
    await setting.add(ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    yield setting
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    views.close()


async def test_the_second_look_at_the_newest_page_costs_the_views_nothing(its: Setting) -> None:
    await its.add(BEN, *its.messages(20))
    await its.page()
    await its.page()
    await its.page(limit=3)
    assert (its.cached.hits, its.cached.misses) == (2, 1)


async def test_new_messages_are_added_to_what_is_kept(its: Setting) -> None:
    await its.add(BEN, *its.messages(20))
    await its.page()
    for _ in range(130):
        await its.add(BEN, *its.messages(1))
    page = await its.page()
    assert [entry.seq for entry in page.entries] == [147, 148, 149, 150, 151]
    await its.page(limit=100)
    assert (its.cached.hits, its.cached.misses) == (2, 1)
    await its.page(limit=101)
    assert its.cached.misses == 2


async def test_a_chat_that_nobody_looks_at_is_not_kept(its: Setting) -> None:
    await its.add(BEN, *its.messages(3))
    assert await its.redis.run("EXISTS", f"tidings:{its.namespace}:newest:{ROOM}") == 0


async def test_a_message_that_was_not_added_leads_to_the_views_and_is_mended(its: Setting) -> None:
    await its.add(BEN, *its.messages(8))
    await its.page()
    its.is_quiet = True
    await its.add(BEN, *its.messages(1))
    its.is_quiet = False
    await its.add(BEN, *its.messages(1))
    await its.page()
    assert its.cached.misses == 2
    await its.page()
    assert its.cached.hits == 1


async def test_events_between_messages_make_no_hole(its: Setting) -> None:
    await its.add(BEN, *its.messages(2))
    await its.add(ANA, ChatRetitled("Coffee"))
    await its.add(BEN, *its.messages(2))
    await its.add(ANA, ChatRetitled("Cocoa"))
    assert len((await its.page(limit=50)).entries) == 4
    assert not (await its.page(limit=50)).has_more
    assert (await its.page(limit=4)).has_more is False
    assert (await its.page(limit=2)).has_more
    assert its.cached.misses == 1


async def test_older_pages_are_right_wherever_they_come_from(its: Setting) -> None:
    await its.add(BEN, *its.messages(6), ChatRetitled("no"))
    await its.add(ANA, ChatRetitled("Coffee"), *its.messages(6))
    await its.page(limit=9)
    for before in range(20):
        for limit in (1, 2, 3, 8, 50):
            await its.page(before, limit)


async def test_long_messages_come_from_the_views(its: Setting) -> None:
    await its.add(BEN, *its.messages(2), *its.messages(1, bytes(MAX_ENTRY_BYTES)))
    for _ in range(2):
        await its.page()
    await its.add(BEN, *its.messages(1))
    await its.page()
    assert its.cached.hits == 0


async def test_what_another_version_kept_is_filled_anew(its: Setting) -> None:
    await its.add(BEN, *its.messages(3))
    await its.redis.run("ZADD", f"tidings:{its.namespace}:newest:{{{ROOM}}}", 4, b"\x93abc")
    await its.page()
    await its.page()
    assert (its.cached.hits, its.cached.misses) == (1, 1)


async def test_a_page_read_before_a_chat_was_mended_is_not_kept_after_it(its: Setting) -> None:
    """A reader that was held up between the views and Redis."""
    await its.add(BEN, *its.messages(3))
    old = await its.views.entries_before(ROOM, END, 5, messages_only=True)
    await its.page()
    await its.newest.forget(ROOM)
    await its.newest.fill(ROOM, old.entries)
    assert await its.newest.page(ROOM, 5, 5) is None
    await its.page()  # right all the same
    await its.redis.run("DEL", f"tidings:{its.namespace}:newest-mended:{{{ROOM}}}")  # as after a minute
    await its.page()
    await its.page()
    assert (its.cached.hits, its.cached.misses) == (1, 3)


async def test_members_read_before_a_chat_was_mended_are_not_kept_after_it(its: Setting) -> None:
    await its.sets.members_among([ROOM], [ANA])
    await members.forget(its.redis, its.namespace, ROOM)
    assert await its.sets.members_among([ROOM], [ANA, CLEO]) == {ANA}
    assert await its.redis.run("EXISTS", f"tidings:{its.namespace}:members:{{{ROOM}}}") == 0
    await its.redis.run("DEL", f"tidings:{its.namespace}:members-at:{{{ROOM}}}")  # as after a minute
    assert await its.sets.members_among([ROOM], [ANA, CLEO]) == {ANA}
    assert await its.redis.run("EXISTS", f"tidings:{its.namespace}:members:{{{ROOM}}}") == 1


async def test_an_empty_chat_asks_nobody(its: Setting) -> None:
    assert await its.page() == Page([], False)
    assert (its.cached.hits, its.cached.misses) == (0, 0)


async def test_without_redis_pages_come_from_the_views(its: Setting, own_redis: Redis) -> None:
    await its.add(BEN, *its.messages(3))
    await its.page()
    own_redis.kill()
    await its.add(BEN, *its.messages(3))
    assert len((await its.page()).entries) == 5


async def test_members_are_asked_of_sets_once_these_are_filled(its: Setting) -> None:
    assert await its.sets.members_among([ROOM, uuid7(its.history.clock())], [ANA, CLEO]) == {ANA}
    head = await its.views.chat(ROOM)
    assert head is not None
    assert await its.offset_of_set() == str(head.offset).encode()
    its.is_quiet = True
    await its.add(ANA, MemberAdded(CLEO))  # unheard of
    assert await its.sets.members_among([ROOM], [ANA, CLEO, DAN]) == {ANA}
    assert await its.sets.members_among([ROOM], []) == set()


async def test_a_set_is_dropped_when_its_members_change(its: Setting) -> None:
    await its.sets.members_among([ROOM], [ANA])
    changes = await its.add(ANA, MemberAdded(CLEO))
    await its.dropped_at(changes.next_offset - 1)
    assert await its.sets.members_among([ROOM], [CLEO]) == {CLEO}
    changes = await its.add(ANA, MemberRemoved(CLEO))
    await its.dropped_at(changes.next_offset - 1)
    assert await its.sets.members_among([ROOM], [CLEO]) == set()


async def test_members_read_before_a_change_do_not_outlive_it(its: Setting) -> None:
    """A reader that was held up between the views and Redis."""
    old = await its.views.chat(ROOM)
    changes = await its.add(ANA, MemberAdded(CLEO))
    await its.dropped_at(changes.next_offset - 1)

    class Late:
        async def chat(self, chat_id: str) -> object:
            return old

    late = MemberSets(its.redis, Late(), namespace=its.namespace)  # type: ignore[arg-type]
    assert await late.members_among([ROOM], [CLEO]) == set()
    assert await its.sets.members_among([ROOM], [CLEO]) == {CLEO}


async def test_a_change_that_redis_did_not_hear_is_told_when_it_is_back(its: Setting, own_redis: Redis) -> None:
    own_redis.pause()
    changes = await its.add(ANA, MemberAdded(CLEO))
    with pytest.raises(Exception, match="Redis"):
        await its.sets.members_among([ROOM], [CLEO])
    own_redis.resume()
    async with asyncio.timeout(10):
        while not its.redis.is_up:  # noqa: ASYNC110  # the connection tells nobody
            await asyncio.sleep(0.005)
    await its.dropped_at(changes.next_offset - 1)


@pytest.mark.parametrize("is_away", [False, True])
async def test_acquaintances_are_the_same_with_and_without_redis(its: Setting, own_redis: Redis, is_away: bool) -> None:
    if is_away:
        own_redis.kill()
    asked = [ANA, BEN, CLEO, DAN]
    plain, helped = Acquaintance(its.views), Acquaintance(its.views, groups=its.sets)
    assert await helped.of(ANA, asked) == await plain.of(ANA, asked) == {ANA, BEN}
    assert await helped.of(DAN, asked) == await plain.of(DAN, asked) == {DAN}


async def test_asking_nothing_holds_up_nobody(its: Setting) -> None:
    assert await its.redis.run_all([]) == []
    assert its.redis.post([])
    assert await its.redis.run("PING") == b"PONG"
