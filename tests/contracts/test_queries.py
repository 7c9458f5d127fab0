"""What queries tell, on real views: pages against a naive reading of the whole chat, the inbox, acquaintances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from commands.errors import NoSuchChat, NoSuchMessage
from commands.files import FileInfo, StoredFile
from events.ids import unix_us, uuid7
from events.types import (
    ChatCreated,
    ChatRetitled,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
    MessageSent,
)
from infra.cassandra.fold_store import CassandraFoldStore
from infra.memory.views import MemoryViews
from infra.sqlite.views import SqliteViews
from projections.file_access import may_read
from projections.inbox import InboxPage, inbox, own_chat, place, unread
from projections.ports import ChatViews, FileUse, FirstUse, Page, Summary
from projections.timeline import END, bound_before, events_after, message_at, messages_after, newest_messages
from streams.batch import BatchFold
from tests.support.cassandra_views import fold_store
from tests.support.history import ANA, BEN, CLEO, DAN, DIRECT, NOON, ROOM, History

Folder = Callable[[History], Awaitable[ChatViews]]


@pytest.fixture(params=["sqlite", "memory", pytest.param("cassandra", marks=pytest.mark.needs("cassandra"))])
async def fold(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Folder]:
    """Fold a history into views, from where an earlier call stopped."""
    store: SqliteViews | MemoryViews | CassandraFoldStore
    if request.param == "memory":
        store = MemoryViews()
    elif request.param == "cassandra":
        store = fold_store(request.getfixturevalue("keyspace"))
    else:
        store = SqliteViews(tmp_path / "views.db", "log", {0: 10**6})
    core = BatchFold(store)

    async def folded(history: History) -> ChatViews:
        done = (await store.positions()).get(0, 0)
        if history.records[done:]:
            await store.apply(await core.fold(history.records[done:]))
        return store

    yield folded
    if isinstance(store, SqliteViews):
        store.close()


def message(history: History, body: bytes = b"sealed") -> MessageSent:
    history.clock.move(1)
    return MessageSent(uuid7(history.clock()), "TEXT", body)


def group(*member_ids: str, history: str = "since_join") -> ChatCreated:
    return ChatCreated("group", "Tea", True, history, list(member_ids))  # type: ignore[arg-type]


def talk(history: History, script: str) -> History:
    """A group of Ana and Ben that Cleo joins: `m` is a message, `t` a retitling, `j` Cleo's joining."""
    history.add(ANA, group(ANA, BEN))
    for index, letter in enumerate(script):
        match letter:
            case "m":
                history.add(ANA if index % 2 else BEN, message(history))
            case "t":
                history.add(ANA, ChatRetitled(f"Tea {index}"))
            case "j":
                history.add(CLEO, MemberJoined(CLEO))
    return history


def seqs(page: Page) -> list[int]:
    return [entry.seq for entry in page.entries]


# --- Pages of a chat -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["", "mmm", "mjm", "mmtjtmmtm", "mjtttt", "jmtmtm", "mmmmj", "tjt"])
@pytest.mark.parametrize("reader", [ANA, CLEO])
async def test_pages_are_what_a_reading_of_the_whole_chat_gives(fold: Folder, script: str, reader: str) -> None:
    views = await fold(talk(History(), script + ("" if "j" in script else "j")))
    summary = await own_chat(views, reader, ROOM)
    first = summary.own.visible_from
    everything = (await views.entries_after(ROOM, 0, 1_000)).entries
    visible = [entry for entry in everything if entry.seq >= first]
    messages = [entry for entry in visible if entry.type == "message.sent"]
    assert first == (1 if reader == ANA else 2 + (script + "j").index("j"))

    bounds = (0, 1, 2, first, first + 1, summary.chat.seq, summary.chat.seq + 1, END)
    for limit, bound in product((1, 2, 3, 50), bounds):
        below = [entry.seq for entry in messages if entry.seq < bound]
        page = await newest_messages(views, summary, bound, limit)
        assert (seqs(page), page.has_more) == (below[-limit:], len(below) > limit)

        above = [entry.seq for entry in messages if entry.seq > bound]
        page = await messages_after(views, summary, bound, limit)
        assert (seqs(page), page.has_more) == (above[:limit], len(above) > limit)

        above = [entry.seq for entry in visible if entry.seq > bound]
        page = await events_after(views, summary, bound, limit)
        assert (seqs(page), page.has_more) == (above[:limit], len(above) > limit)


async def test_a_page_ends_early_at_one_mebibyte_and_says_so(fold: Folder) -> None:
    history = talk(History(), "j")
    for _ in range(20):
        history.add(ANA, message(history, bytes(100_000)))
    views = await fold(history)
    summary = await own_chat(views, CLEO, ROOM)

    read: list[int] = []
    page = Page([], True)
    while page.has_more:
        page = await newest_messages(views, summary, read[0] if read else END, 200)
        assert 1 <= len(page.entries) <= 8
        assert sum(len(entry.raw) for entry in page.entries) <= 1024 * 1024
        read = seqs(page) + read
    assert read == list(range(3, 23))


async def test_before_a_time_is_exclusive(fold: Folder) -> None:
    history = talk(History(), "mmm")
    views = await fold(history)
    times = [entry.at_us for entry in (await views.entries_after(ROOM, 0, 10)).entries]

    assert await bound_before(views, ROOM, times[0]) == 1
    assert await bound_before(views, ROOM, times[2]) == 3
    assert await bound_before(views, ROOM, times[2] + 1) == 4
    assert await bound_before(views, ROOM, times[3] + 10**9) == 5
    assert await bound_before(views, ROOM, -(10**15)) == 1


async def test_a_message_id_leads_to_its_message_unless_it_was_refused(fold: Folder) -> None:
    history = talk(History(), "")
    sent, refused = message(history), message(history)
    history.add(BEN, sent)
    history.add(DAN, refused)
    views = await fold(history)

    use = await views.first_use(ROOM, sent.message_id)
    assert isinstance(use, FirstUse)
    entry = await message_at(views, use)
    assert (entry.seq, entry.actor_id) == (2, BEN)

    use = await views.first_use(ROOM, refused.message_id)
    assert isinstance(use, FirstUse)
    assert use.code == "no_such_chat"
    with pytest.raises(NoSuchMessage):
        await message_at(views, use)


# --- Membership ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [MemberLeft(BEN), None])
async def test_only_current_members_have_a_chat(fold: Folder, how: MemberLeft | None) -> None:
    history = talk(History(), "m")
    views = await fold(history)
    assert (await own_chat(views, BEN, ROOM)).member_count == 2

    history.add(*((BEN, how) if how else (ANA, MemberRemoved(BEN))))
    await fold(history)
    for user_id, chat_id in [(BEN, ROOM), (DAN, ROOM), (ANA, DIRECT), (ANA, "")]:
        with pytest.raises(NoSuchChat):
            await own_chat(views, user_id, chat_id)


# --- The inbox -----------------------------------------------------------------------------------------------


async def whole_inbox(views: ChatViews, user_id: str, limit: int) -> list[str]:
    pages = [await inbox(views, user_id, None, limit)]
    while pages[-1].next_place is not None:
        assert len(pages[-1].items) == limit
        pages.append(await inbox(views, user_id, pages[-1].next_place, limit))
    return [item.summary.chat.chat_id for page in pages for item in page.items]


def only(page: InboxPage) -> tuple[int, int | None]:
    """Unread and the last message's seq of the one chat on a page."""
    (item,) = page.items
    return item.unread, item.last_message.seq if item.last_message else None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_the_inbox_runs_from_newest_activity_to_oldest_across_pages(fold: Folder, limit: int) -> None:
    history = History()
    rooms = [uuid7(history.clock()) for _ in range(7)]
    for index, room in enumerate(rooms):
        history.clock.move(index % 3)  # some at the same time
        history.add(ANA, group(ANA, BEN), room)
    history.add(BEN, message(history), rooms[0])
    history.add(ANA, MemberLeft(ANA), rooms[5])
    views = await fold(history)

    mine = await views.summaries(ANA, rooms)
    expected = [summary.chat.chat_id for summary in sorted(mine, key=place, reverse=True)]
    assert expected[0] == rooms[0]
    assert len(expected) == 6
    assert await whole_inbox(views, ANA, limit) == expected
    assert await whole_inbox(views, DAN, limit) == []


async def test_a_chat_that_moves_up_between_pages_is_not_given_twice(fold: Folder) -> None:
    history = History()
    rooms = [uuid7(history.clock()) for _ in range(3)]
    for room in rooms:
        history.clock.move(1)
        history.add(ANA, group(ANA), room)
    first = await inbox(await fold(history), ANA, None, 2)
    history.add(ANA, message(history), rooms[2])
    second = await inbox(await fold(history), ANA, first.next_place, 2)
    assert [item.summary.chat.chat_id for item in first.items + second.items] == rooms[::-1]


async def test_unread_is_what_was_sent_after_the_read_mark(fold: Folder) -> None:
    history = talk(History(), "mmmm")  # the last by Ana, seq 5
    views = await fold(history)
    assert only(await inbox(views, ANA, None, 9)) == (0, 5)
    assert only(await inbox(views, BEN, None, 9)) == (1, 5)

    history.add(ANA, ChatRetitled("Coffee"))
    history.add(ANA, message(history))
    history.add(ANA, message(history))
    await fold(history)
    assert only(await inbox(views, BEN, None, 9)) == (3, 8)

    history.add(BEN, MessageRead(7))
    await fold(history)
    assert only(await inbox(views, BEN, None, 9)) == (1, 8)


async def test_unread_is_never_negative(fold: Folder) -> None:
    summary = await own_chat(await fold(talk(History(), "m")), ANA, ROOM)
    summary.chat.n = 0  # a head that is older than the member's marks
    assert unread(summary) == 0


async def test_what_many_have_not_read_is_what_their_inboxes_say(fold: Folder) -> None:
    history = History()
    rooms = [uuid7(history.clock()) for _ in range(90)]  # more than one statement asks about
    for index, room in enumerate(rooms):
        members = [ANA, BEN] if index % 2 else [ANA, BEN, CLEO, *(f"user-{index}-{n}" for n in range(index % 5))]
        history.add(ANA, group(*members), room)
        for n in range(index % 4):
            history.add(BEN if n % 2 else ANA, message(history), room)
        if index % 7 == 0:
            history.add(CLEO, MessageRead(2), room)
        if index % 11 == 0:
            history.add(BEN, MemberLeft(BEN), room)
    views = await fold(history)

    users = {member for chat in (await views.chats([*rooms, "no chat"])).values() for member in chat.members}
    assert len(users) > 40
    told = await views.unread_of([*users, DAN, "nobody"])
    for user_id in (*users, DAN, "nobody"):
        mine = await views.summaries(user_id, await views.chats_of(user_id))
        assert told[user_id] == sum(map(unread, mine)), user_id
    assert told[BEN] > 20
    assert await views.unread_of([]) == {}


async def test_chats_are_the_same_one_by_one_and_together(fold: Folder) -> None:
    history = talk(History(), "mj")
    history.add(ANA, ChatCreated("direct", None, False, "all", [ANA, BEN]), DIRECT)
    views = await fold(history)
    together = await views.chats([ROOM, DIRECT, "no chat"])
    assert together == {ROOM: await views.chat(ROOM), DIRECT: await views.chat(DIRECT)}
    assert together[ROOM].members.keys() == {ANA, BEN, CLEO}
    assert await views.chats([]) == {}


async def test_who_joins_has_nothing_unread_and_no_last_message_from_before(fold: Folder) -> None:
    history = talk(History(), "mmj")
    views = await fold(history)
    assert only(await inbox(views, CLEO, None, 9)) == (0, None)

    history.add(BEN, message(history))
    await fold(history)
    assert only(await inbox(views, CLEO, None, 9)) == (1, 5)

    history.add(CLEO, MemberLeft(CLEO))
    history.add(BEN, message(history))
    history.add(CLEO, MemberJoined(CLEO))
    await fold(history)
    assert only(await inbox(views, CLEO, None, 9)) == (0, None)


async def test_where_history_is_open_to_all_a_newcomer_sees_the_last_message(fold: Folder) -> None:
    history = History()
    history.add(ANA, group(ANA, history="all"))
    history.add(ANA, message(history))
    history.add(CLEO, MemberJoined(CLEO))
    assert only(await inbox(await fold(history), CLEO, None, 9)) == (0, 2)


async def test_others_marks_are_the_lowest_and_hidden_below_ones_own_view(fold: Folder) -> None:
    history = talk(History(), "mm")
    history.add(BEN, MessageDelivered(3))
    views = await fold(history)
    (item,) = (await inbox(views, ANA, None, 9)).items
    assert (item.others_delivered_seq, item.others_read_seq) == (3, 2)

    history.add(CLEO, MemberJoined(CLEO))  # seq 4
    await fold(history)
    (item,) = (await inbox(views, ANA, None, 9)).items
    assert (item.others_delivered_seq, item.others_read_seq) == (3, 2)
    (item,) = (await inbox(views, CLEO, None, 9)).items
    assert (item.others_delivered_seq, item.others_read_seq) == (0, 0)


@pytest.mark.parametrize("how", [(), ("erased",)])
async def test_what_was_read_stays_so_when_the_last_reader_leaves(fold: Folder, how: tuple[Any, ...]) -> None:
    history = talk(History(), "jmm")  # Cleo joins at seq 2, Ana writes seq 3, Ben seq 4
    for reader, data in ((CLEO, MessageDelivered(4)), (BEN, MessageRead(4))):
        history.add(reader, data)
    views = await fold(history)

    async def marks(reader: str = ANA) -> list[tuple[int, int]]:
        await fold(history)
        (item,) = (await inbox(views, reader, None, 9)).items
        chat = await views.chat(ROOM)
        assert chat is not None
        return [(item.others_delivered_seq, item.others_read_seq), chat.others_marks(reader)]

    assert await marks() == [(4, 2)] * 2
    # Who leaves without having read holds nothing up; the last to leave leaves behind what is so.
    history.add(CLEO, MemberLeft(CLEO, *how))
    assert await marks() == [(4, 4)] * 2
    history.add(BEN, MemberLeft(BEN, *how))
    assert await marks() == [(4, 4)] * 2
    history.add(ANA, message(history))
    assert await marks() == [(4, 4)] * 2
    # Whoever comes now begins there.
    history.add(CLEO, MemberJoined(CLEO))
    assert await marks() == [(8, 8)] * 2
    history.add(ANA, message(history))
    assert await marks() == [(8, 8)] * 2
    # For oneself one is not another.
    history.add(ANA, MemberRemoved(CLEO))
    assert await marks() == [(8, 8)] * 2
    history.add(ANA, MemberLeft(ANA))
    history.add(ANA, MemberJoined(ANA))
    assert (await marks())[0][1] <= 9


async def test_a_page_of_the_list_asks_for_the_places_of_all_and_the_rest_of_its_own_chats(fold: Folder) -> None:
    history = History()
    rooms = [uuid7(NOON) for _ in range(12)]
    for index, room in enumerate(rooms):
        history.add(ANA, group(ANA, BEN), room)
        if index % 3:
            history.clock.move(1)  # else two have the same time
    history.add(BEN, message(history), rooms[2])
    history.add(ANA, MemberLeft(ANA), rooms[5])
    history.add(CLEO, group(CLEO, BEN))
    views = await fold(history)
    mine = [await own_chat(views, ANA, room) for room in rooms if room != rooms[5]]
    expected = sorted(map(place, mine), reverse=True)
    assert expected[0][1] == rooms[2]
    assert len({at_us for at_us, _ in expected}) < len(expected)
    for limit in (1, 2, 5, 11, 50):
        assert await views.newest_of(ANA, None, limit) == expected[:limit]
        for index, after in enumerate(expected):
            assert await views.newest_of(ANA, after, limit) == expected[index + 1 :][:limit]
    assert await views.newest_of(DAN, None, 5) == []

    asked: list[int] = []
    summaries = views.summaries

    async def counted(user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        asked.append(len(chat_ids))
        return await summaries(user_id, chat_ids)

    views.summaries = counted  # type: ignore[method-assign]
    seen: list[tuple[int, str]] = []
    following: tuple[int, str] | None = None
    while True:
        page = await inbox(views, ANA, following, 4)
        seen += [place(item.summary) for item in page.items]
        following = page.next_place
        if following is None:
            break
    assert (seen, asked) == (expected, [4, 4, 3])


async def test_activity_is_the_time_of_the_last_numbered_event(fold: Folder) -> None:
    history = talk(History(), "m")
    at = unix_us(history.clock())
    history.clock.move(60)
    history.add(BEN, MessageRead(2))
    views = await fold(history)
    assert (await own_chat(views, ANA, ROOM)).chat.at_us == at
    history.add(ANA, ChatRetitled("Coffee"))
    await fold(history)
    assert (await own_chat(views, ANA, ROOM)).chat.at_us == at + 60_000_000


# --- who may read a file -----------------------------------------------------------------------------------------


def with_file(history: History, file_id: str) -> MessageSent:
    history.clock.move(1)
    return MessageSent(uuid7(history.clock()), "FILE", b"sealed", file_id, file=b"what it is")


async def readers(views: ChatViews, file_id: str, owner_id: str = DAN) -> set[str]:
    info = FileInfo(file_id, "notes.txt", "text/plain", 5, "ab" * 32, NOON)
    return {user for user in (ANA, BEN, CLEO, DAN) if await may_read(views, user, StoredFile(owner_id, info))}


async def test_a_file_is_read_by_its_uploader_and_where_it_was_sent(fold: Folder) -> None:
    history = talk(History(), "m")
    views = await fold(history)
    file_id = uuid7(NOON)
    assert await readers(views, file_id) == {DAN}

    history.add(ANA, with_file(history, file_id))
    await fold(history)
    assert await readers(views, file_id) == {ANA, BEN, DAN}
    assert await readers(views, uuid7(NOON)) == {DAN}

    history.add(BEN, MemberLeft(BEN))
    await fold(history)
    assert await readers(views, file_id) == {ANA, DAN}


async def test_who_may_not_see_the_message_may_not_read_its_file(fold: Folder) -> None:
    history = talk(History(), "m")
    file_id = uuid7(NOON)
    history.add(ANA, with_file(history, file_id))
    history.add(CLEO, MemberJoined(CLEO))
    views = await fold(history)
    assert await readers(views, file_id) == {ANA, BEN, DAN}

    history.add(ANA, with_file(history, file_id))  # again, and Cleo is there to see it
    await fold(history)
    assert await readers(views, file_id) == {ANA, BEN, CLEO, DAN}
    assert await views.file_uses(file_id, "", 9) == [FileUse(file_id, ROOM, 5, 4)]


async def test_a_refused_message_shows_its_file_to_nobody(fold: Folder) -> None:
    history = talk(History(), "")
    file_id = uuid7(NOON)
    history.add(CLEO, with_file(history, file_id))
    assert await readers(await fold(history), file_id) == {DAN}


async def test_the_chats_of_a_file_come_page_by_page(fold: Folder) -> None:
    history = History()
    file_id = uuid7(NOON)
    rooms = sorted(uuid7(NOON) for _ in range(5))
    for room in rooms:
        history.add(ANA, group(ANA), room)
        history.add(ANA, with_file(history, file_id), room)
    views = await fold(history)
    seen, after = [], ""
    while page := await views.file_uses(file_id, after, 2):
        seen += [use.chat_id for use in page]
        after = page[-1].chat_id
    assert seen == rooms
