"""Reading across partitions, crowds and restarts of the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from commands.chat import Member
from events.ids import unix_us, uuid7
from events.types import ChatCreated, MemberJoined, MemberLeft, MessageRead, MessageSent
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.queries import CassandraChatViews
from infra.cassandra.tables import BUCKET
from streams.batch import BatchFold
from tests.contracts.adversary import Adversary
from tests.contracts.test_fold_properties import play
from tests.support.cassandra_views import fold_store, in_thread
from tests.support.history import ANA, BEN, CLEO, ROOM, History

pytestmark = pytest.mark.needs("cassandra")


async def fold(store: CassandraFoldStore, history: History, size: int = 500) -> None:
    core = BatchFold(store)
    offset = (await store.positions()).get(0, 0)
    while offset < len(history.records):
        changes = await core.fold(history.records[offset : offset + size])
        await store.apply(changes)
        offset = changes.next_offset


async def test_pages_times_and_single_entries_across_buckets(keyspace: Keyspace) -> None:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "all", [ANA, BEN]))
    last = 2 * BUCKET + 3
    for seq in range(2, last + 1):
        if seq % 1_000:
            history.clock.move(1)
            history.add(ANA, MessageSent(uuid7(history.clock()), "TEXT", b"x"))
        else:
            history.add(f"user-{seq}", MemberJoined(f"user-{seq}"))
    store = fold_store(keyspace)
    await fold(store, history)
    assert (await store.load([ROOM]))[ROOM].seq == last
    messages = [seq for seq in range(2, last + 1) if seq % 1_000]

    fresh = CassandraChatViews(keyspace)
    edges = [0, 1, 2, BUCKET - 1, BUCKET, BUCKET + 1, 2 * BUCKET - 1, 2 * BUCKET, last - 1, last, last + 1, 2**62]
    for views in (store, fresh):
        for bound in edges:
            for limit in (1, 7, 200):
                page = await views.entries_after(ROOM, bound, limit)
                above = range(bound + 1, last + 1)
                assert [entry.seq for entry in page.entries] == list(above[:limit])
                assert page.has_more == (len(above) > limit)
                page = await views.entries_before(ROOM, bound, limit)
                below = range(1, min(bound, last + 1))
                assert [entry.seq for entry in page.entries] == list(below[-limit:])
                assert page.has_more == (len(below) > limit)
            page = await views.entries_after(ROOM, bound, 5, messages_only=True)
            found = [seq for seq in messages if seq > bound]
            assert ([entry.seq for entry in page.entries], page.has_more) == (found[:5], len(found) > 5)
            page = await views.entries_before(ROOM, bound, 5, messages_only=True)
            found = [seq for seq in messages if seq < bound]
            assert ([entry.seq for entry in page.entries], page.has_more) == (found[-5:], len(found) > 5)

    wanted = [(ROOM, seq) for seq in (1, BUCKET - 1, BUCKET, last)]
    entries = {entry.seq: entry for entry in await fresh.entries_at([*wanted, (ROOM, last + 1), (ROOM, -1), ("x", 1)])}
    assert list(entries) == [seq for _, seq in wanted]
    assert await store.ns(wanted) == {(ROOM, seq): sum(m <= seq for m in messages) for _, seq in wanted}
    for entry in entries.values():
        assert await fresh.seq_before(ROOM, entry.at_us + 1) >= entry.seq
        assert await fresh.seq_before(ROOM, entry.at_us) < entry.seq
    assert await fresh.seq_before(ROOM, unix_us(history.clock()) + 1) == last
    assert await fresh.seq_before("no chat", 2**60) == 0


async def test_a_reader_that_knows_an_old_head_sees_what_came_after(keyspace: Keyspace) -> None:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "all", [ANA, BEN]))
    store, views = fold_store(keyspace), CassandraChatViews(keyspace)
    for last in range(1, 5):
        await fold(store, history)
        assert [entry.seq for entry in (await views.entries_after(ROOM, 0, 50)).entries] == list(range(1, last + 1))
        assert [entry.seq for entry in (await views.entries_before(ROOM, 2**62, 1)).entries] == [last]
        history.clock.move(1)
        history.add(ANA, MessageSent(uuid7(history.clock()), "TEXT", b"x"))


# --- Crowds ----------------------------------------------------------------------------------------------------


def crowd(size: int, leavers: Sequence[str] = ()) -> History:
    history = History()
    history.add(ANA, ChatCreated("group", "Big", True, "all", [ANA, *(f"user-{n:03}" for n in range(size - 1))]))
    for user in leavers:
        history.add(user, MemberLeft(user))
    history.clock.move(1)
    history.add(ANA, MessageSent(uuid7(history.clock()), "TEXT", b"x"))
    return history


async def summary(views: CassandraChatViews, user_id: str) -> Any:
    [found] = await views.summaries(user_id, [ROOM, "no chat", ROOM])
    assert found.chat.members == {}
    return found


async def test_a_crowd_is_counted_but_its_marks_are_not_told(keyspace: Keyspace) -> None:
    history = crowd(150)
    store = fold_store(keyspace)
    await fold(store, history)
    found = await summary(store, "user-148")
    assert (found.member_count, found.others_delivered, found.others_read) == (150, 0, 0)
    assert found.own.user_id == "user-148"
    assert found.chat.seq == 2
    assert await store.summaries(CLEO, [ROOM]) == []
    assert len((await store.load([ROOM]))[ROOM].members) == 150


@pytest.mark.parametrize("gone", [48, 49, 100, 147])
async def test_where_many_have_left_the_marks_of_those_who_stay_count(keyspace: Keyspace, gone: int) -> None:
    history = crowd(150, [f"user-{n:03}" for n in range(gone)])
    history.add("user-147", MessageRead(gone + 2))
    history.add("user-148", MessageRead(gone + 2))
    store = fold_store(keyspace)
    await fold(store, history)
    chat = (await store.load([ROOM]))[ROOM]
    found = await summary(store, ANA)
    assert found.member_count == len(chat.members) == 150 - gone
    assert (found.others_delivered, found.others_read) == chat.others_marks(ANA)
    assert (await store.summaries("user-000", [ROOM])) == []
    assert list(store.rows()) == in_thread(lambda: play(Adversary(), history.records))


async def test_members_come_page_by_page_without_those_who_left(keyspace: Keyspace) -> None:
    store = fold_store(keyspace)
    await fold(store, crowd(150, [f"user-{n:03}" for n in range(0, 149, 2)]))
    read: list[Member] = []
    while page := await store.members(ROOM, read[-1].user_id if read else "", 20):
        assert len(page) <= 20
        read += page
    assert [member.user_id for member in read] == sorted([ANA, *(f"user-{n:03}" for n in range(1, 149, 2))])
    assert await store.members("no chat", "", 20) == []


async def test_many_chats_at_once_are_loaded_whole(keyspace: Keyspace) -> None:
    history = History()
    rooms = [uuid7(history.clock()) for _ in range(130)]
    for number, room in enumerate(rooms):
        history.add(ANA, ChatCreated("group", str(number), True, "all", [ANA, *map(str, range(number))]), room)
    store = fold_store(keyspace)
    await fold(store, history)
    loaded = await store.load([*rooms, "no chat", *rooms])
    assert {chat_id: len(chat.members) for chat_id, chat in loaded.items()} == {
        room: number + 1 for number, room in enumerate(rooms)
    }
    assert sorted(await store.chats_of(ANA)) == sorted(rooms)
    assert len(await store.summaries(ANA, rooms)) == 130
