"""The contract of the views' writing side, on SQLite, in memory, on the adversary and on Cassandra."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from commands.errors import Unavailable
from events.ids import uuid7
from events.log import Position
from events.types import (
    ChatCreated,
    ChatReleased,
    MemberAdded,
    MemberLeft,
    MessageDelivered,
    MessageRead,
    MessageSent,
)
from infra.memory.views import MemoryViews
from infra.sqlite.views import SqliteViews
from projections.fold import fold_record
from projections.inspection import Extra
from projections.ports import Changes, FirstUse, LogMismatch
from streams.batch import BatchFold
from tests.contracts.adversary import Adversary
from tests.support.cassandra_views import fold_store
from tests.support.history import ANA, BEN, CLEO, DIRECT, NOON, ROOM, History

M1, M2, M3 = (uuid7(NOON + timedelta(seconds=step)) for step in range(3))


@pytest.fixture(
    params=["sqlite", "memory", "adversary", pytest.param("cassandra", marks=pytest.mark.needs("cassandra"))]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "adversary":
        yield Adversary()
        return
    if request.param == "memory":
        yield MemoryViews()
        return
    if request.param == "cassandra":
        yield fold_store(request.getfixturevalue("keyspace"))
        return
    views = SqliteViews(tmp_path / "views.db", "log", {0: 1_000})
    yield views
    views.close()


@pytest.fixture
def history() -> History:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    return history


async def fold(store: Any, history: History, offset: int = 0) -> Changes:
    changes = await BatchFold(store).fold(history.records[offset:])
    await store.apply(changes)
    return changes


async def test_an_empty_store_knows_nothing(store: Any) -> None:
    assert await store.positions() == {}
    assert await store.load([ROOM]) == {}
    assert await store.first_uses([(ROOM, M1)]) == {}
    assert await store.ns([(ROOM, 1)]) == {}
    assert await store.parked_chats() == {}


async def test_a_chat_is_loaded_as_it_was_folded(store: Any, history: History) -> None:
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    history.add(ANA, MessageRead(2))
    history.add(ANA, MemberAdded(CLEO))
    history.add(BEN, MemberLeft(BEN))
    changes = await fold(store, history)
    assert (await store.load([ROOM, DIRECT])) == changes.heads
    assert await store.positions() == {0: 5}


async def test_what_is_secured_is_what_is_loaded_and_changes_nothing(store: Any, history: History) -> None:
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    history.add(ANA, MemberAdded(CLEO))
    history.add(BEN, MemberLeft(BEN))
    await fold(store, history)
    before = await store.load([ROOM])
    for since in (0, 2, 9):
        assert await store.secured([ROOM, DIRECT], since) == before
    assert await store.load([ROOM]) == before


async def test_first_uses_tell_acceptance_and_refusal(store: Any, history: History) -> None:
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    history.add(CLEO, MessageSent(M2, "TEXT", b"x"))
    await fold(store, history)
    assert await store.first_uses([(ROOM, M1), (ROOM, M2), (ROOM, M3), (DIRECT, M1)]) == {
        (ROOM, M1): FirstUse(ROOM, M1, 2, None, BEN, 1),
        (ROOM, M2): FirstUse(ROOM, M2, 0, "no_such_chat", CLEO, 2),
    }


async def test_ns_count_messages_up_to_a_seq(store: Any, history: History) -> None:
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    history.add(ANA, MemberAdded(CLEO))
    history.add(BEN, MessageSent(M2, "TEXT", b"x"))
    await fold(store, history)
    assert await store.ns([(ROOM, seq) for seq in range(1, 6)]) == {
        (ROOM, 1): 0, (ROOM, 2): 1, (ROOM, 3): 1, (ROOM, 4): 2,
    }  # fmt: skip


async def test_a_repeat_after_a_restart_is_dropped(store: Any, history: History) -> None:
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    await fold(store, history)
    history.add(BEN, MessageSent(M1, "TEXT", b"x again"))
    changes = await fold(store, history, 2)
    assert (changes.entries, changes.repeats, changes.heads[ROOM].repeated) == ([], 1, 1)


async def test_a_refused_id_stays_refused_even_once_its_sender_may_send(store: Any, history: History) -> None:
    history.add(CLEO, MessageSent(M1, "TEXT", b"x"))
    await fold(store, history)
    history.add(ANA, MemberAdded(CLEO))
    history.add(CLEO, MessageSent(M1, "TEXT", b"x"))
    changes = await fold(store, history, 2)
    assert [entry.type for entry in changes.entries] == ["member.added"]
    assert [(refused.offset, refused.code) for refused in changes.refused] == [(3, "no_such_chat")]


async def test_somebody_elses_id_is_void(store: Any, history: History) -> None:
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    await fold(store, history)
    history.add(ANA, MessageSent(M1, "TEXT", b"mine"))
    changes = await fold(store, history, 2)
    assert [(refused.actor_id, refused.code) for refused in changes.refused] == [(ANA, "id_taken")]
    assert (await store.first_uses([(ROOM, M1)]))[ROOM, M1].actor_id == BEN


async def test_an_id_from_the_future_is_void(store: Any, history: History) -> None:
    early = uuid7(NOON + timedelta(seconds=121))
    history.add(BEN, MessageSent(early, "TEXT", b"x"))
    history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=120)), "TEXT", b"x"))
    changes = await fold(store, history)
    assert [refused.code for refused in changes.refused] == ["id_from_future"]
    assert changes.heads[ROOM].n == 1


async def test_reading_an_old_seq_after_a_restart_counts_right(store: Any, history: History) -> None:
    for message_id in (M1, M2, M3):
        history.add(ANA, MessageSent(message_id, "TEXT", b"x"))
    await fold(store, history)
    history.add(BEN, MessageRead(3))
    changes = await fold(store, history, 4)
    assert changes.heads[ROOM].members[BEN].read_n == 2
    assert changes.moved[ROOM, BEN].read_seq == 3


async def test_a_receipt_beyond_the_head_is_void(store: Any, history: History) -> None:
    history.add(BEN, MessageDelivered(2))
    assert [refused.code for refused in (await fold(store, history)).refused] == ["beyond_head"]


async def test_receipts_in_large_groups_are_kept_but_not_told(store: Any, history: History) -> None:
    history.add(ANA, ChatCreated("group", "Big", True, "all", [ANA, *(f"user-{n}" for n in range(100))]), M3)
    history.add(ANA, MessageSent(M1, "TEXT", b"x"), M3)
    history.add("user-1", MessageRead(2), M3)
    changes = await fold(store, history)
    assert changes.heads[M3].members["user-1"].read_seq == 2
    assert changes.moved == {}


async def test_a_poisoned_chat_is_parked_alone(store: Any, history: History, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    history.add(BEN, MessageSent(M1, "TEXT", b"x"))
    history.add_raw(ROOM, b"\xff not ours")
    history.add(BEN, MessageSent(M2, "TEXT", b"x"))
    history.add(BEN, ChatCreated("direct", None, False, "all", [BEN, ANA]), DIRECT)
    changes = await fold(store, history)
    assert [parked.offset for parked in changes.parked] == [2, 3]
    assert changes.parked[0].value == b"\xff not ours"
    assert (changes.heads[ROOM].seq, changes.heads[DIRECT].seq) == (2, 1)
    history.add(BEN, MessageSent(M3, "TEXT", b"x"))
    assert [parked.offset for parked in (await fold(store, history, 5)).parked] == [5], "after a restart too"
    assert await store.parked_chats() == {ROOM: 2}


async def test_a_fold_that_raises_parks_its_record_and_loses_no_other(
    store: Any, history: History, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.CRITICAL)
    for message_id in (M1, M2, M3):
        history.add(BEN, MessageSent(message_id, "TEXT", b"x"))

    def fails_on_m2(changes: Any, hot: Any, record: Any, decoded: Any, *rest: Any) -> None:
        if isinstance(decoded.event.data, MessageSent) and decoded.event.data.message_id == M2:
            hot.chat.seq = 999
            raise ZeroDivisionError
        original(changes, hot, record, decoded, *rest)

    original = fold_record
    monkeypatch.setattr("streams.batch.fold_record", fails_on_m2)
    core = BatchFold(store)
    offset = 0
    while offset < len(history.records):
        changes = await core.fold(history.records[offset:])
        await store.apply(changes)
        offset = changes.next_offset
    assert (await store.load([ROOM]))[ROOM].seq == 2
    assert await store.parked_chats() == {ROOM: 2}


async def test_sqlite_views_belong_to_one_log(tmp_path: Path, history: History) -> None:
    views = SqliteViews(tmp_path / "views.db", "this log", {0: 5})
    await fold(views, history)
    views.close()
    with pytest.raises(LogMismatch, match="folded from"):
        SqliteViews(tmp_path / "views.db", "that log", {0: 5})
    with pytest.raises(LogMismatch, match="beyond the log's end"):
        SqliteViews(tmp_path / "views.db", "this log", {0: 0})


async def test_a_failed_sqlite_batch_leaves_nothing_behind(tmp_path: Path, history: History) -> None:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 5})
    views._db.execute("CREATE TRIGGER full BEFORE INSERT ON timeline BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(Unavailable, match="disk full"):
        await fold(views, history)
    assert await views.load([ROOM]) == {}
    views._db.execute("DROP TRIGGER full")
    await fold(views, history)
    assert (await views.load([ROOM]))[ROOM].seq == 1
    views.close()


@pytest.mark.parametrize("keys_kept", [1, 9, 10, 11, 39])
async def test_a_batch_of_more_chats_than_sqlite_remembers_is_written(tmp_path: Path, keys_kept: int) -> None:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 1_000}, keys_kept=keys_kept)
    history = History()
    chats = [uuid7(NOON + timedelta(seconds=number)) for number in range(40)]
    for chat_id in chats:
        history.add(ANA, ChatCreated("group", chat_id, False, "all", [ANA, BEN]), chat_id)
    await fold(views, history)
    for chat_id in chats[::-1] + chats:
        history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x"), chat_id)
        history.add(CLEO, MessageSent(uuid7(NOON), "TEXT", b"x"), chat_id)
    await fold(views, history, len(chats))
    assert {chat_id: (chat.title, chat.seq) for chat_id, chat in (await views.load(chats)).items()} == {
        chat_id: (chat_id, 3) for chat_id in chats
    }
    assert len(views._keys) <= keys_kept
    views.close()


async def test_a_mend_that_fails_in_sqlite_remembers_no_key_of_a_row_that_was_undone(
    tmp_path: Path, history: History
) -> None:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 1_000})
    changes = await BatchFold(views).fold(history.records)
    views._db.execute("CREATE TRIGGER full BEFORE INSERT ON timeline BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(Unavailable, match="disk full"):
        await views.mend(changes, Extra(), 1)
    views._db.execute("DROP TRIGGER full")
    other = uuid7(NOON)
    history.add(CLEO, ChatCreated("group", "Another", False, "all", [CLEO]), other)
    await fold(views, History(records=history.records[1:]))
    assert await views.ns([(ROOM, 1)]) == {}
    await views.mend(changes, Extra(), 1)
    assert (await views.load([ROOM]))[ROOM].title == "Tea"
    views.close()


class Noted:
    """Discards as they stand beside a log."""

    def __init__(self, *offsets: int) -> None:
        self.positions = [Position(0, offset) for offset in offsets]

    async def all(self) -> list[Position]:
        return self.positions


def poisoned(history: History) -> History:
    """Two broken records, messages before, between and after them."""
    for number in range(3):
        history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=10 * number)), "TEXT", b"x"))
        if number < 2:
            history.add_raw(ROOM, b"\xff not ours")
    return history


async def test_a_chat_is_released_in_order_without_what_was_discarded(store: Any, history: History) -> None:
    poisoned(history)
    await fold(store, history)
    assert [parked.offset for parked in await store.parked_of(ROOM)] == [2, 3, 4, 5]
    history.add("operator", ChatReleased([2]))
    await fold(store, history, 6)
    assert await store.parked_chats() == {ROOM: 4}, "the second broken record is in the way"
    assert [parked.offset for parked in await store.parked_of(ROOM)] == [4, 5, 6]
    history.add("operator", ChatReleased([4]))
    changes = await fold(store, history, 7)
    assert await store.parked_chats() == {}
    assert await store.parked_of(ROOM) == []
    assert [(entry.seq, entry.offset) for entry in changes.entries] == [(4, 5)]
    chat = (await store.load([ROOM]))[ROOM]
    assert (chat.seq, chat.n, chat.offset, chat.applied, chat.void, chat.repeated) == (4, 3, 7, 6, 2, 0)


async def test_a_rebuild_that_knows_of_discards_comes_to_the_same_with_any_code(
    history: History,
) -> None:
    """Code that could fold the discarded records must not give them numbers that others have by now."""
    poisoned(history)
    history.add("operator", ChatReleased([2, 4]))
    store = Adversary()
    await fold(store, history)
    rows = list(store.rows())
    repaired = [
        record if record.value[:1] == b"{" else structs.replace(record, value=history.records[1].value)
        for record in history.records
    ]
    again = Adversary()
    await again.apply(await BatchFold(again, discards=Noted(2, 4)).fold(repaired))
    assert list(again.rows()) == rows


async def test_retrying_what_still_cannot_be_folded_changes_nothing_but_the_count(store: Any, history: History) -> None:
    poisoned(history)
    history.add("operator", ChatReleased([]))
    await fold(store, history)
    assert await store.parked_chats() == {ROOM: 2}
    assert [parked.offset for parked in await store.parked_of(ROOM)] == [2, 3, 4, 5, 6]


async def test_what_a_defect_had_parked_is_folded_once_the_defect_is_mended(
    store: Any, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defective(changes: Any, hot: Any, record: Any, *rest: Any) -> None:
        if record.offset == 2:
            raise ZeroDivisionError
        fold_record(changes, hot, record, *rest)

    for number in range(3):
        history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=number)), "TEXT", b"x"))
    with monkeypatch.context() as patched:
        patched.setattr("streams.batch.fold_record", defective)
        await fold(store, history)
        history.add("operator", ChatReleased([]))
        await fold(store, history, 4)
        assert await store.parked_chats() == {ROOM: 2}, "it is still there"
    history.add("operator", ChatReleased([]))
    changes = await fold(store, history, 5)
    assert [(entry.seq, entry.offset) for entry in changes.entries] == [(3, 2), (4, 3)]
    assert await store.parked_chats() == {}
