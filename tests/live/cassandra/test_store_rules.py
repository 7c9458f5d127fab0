"""The rules that keep the views right on a store where the last write wins, each broken on purpose on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from commands.errors import Unavailable
from events.ids import uuid7
from events.log import Record
from events.types import (
    ChatCreated,
    ChatRetitled,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageRead,
    MessageSent,
)
from infra.cassandra.connection import Connection
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.serialise import Unit
from infra.cassandra.tables import TABLES
from projections.fold import Memory, snapshot
from projections.ports import Changes, LogMismatch
from streams.batch import BatchFold
from tests.contracts.adversary import Adversary
from tests.contracts.test_fold_properties import histories, memories, play
from tests.support.cassandra_views import FaultyKeyspace, empty, fold_store, in_thread
from tests.support.history import ANA, BEN, CLEO, DAN, DIRECT, ROOM, History

pytestmark = pytest.mark.needs("cassandra")

few = settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.too_slow],
)


def message(history: History, text: bytes = b"sealed") -> MessageSent:
    history.clock.move(1)
    return MessageSent(uuid7(history.clock()), "TEXT", text)


@pytest.fixture
def history() -> History:
    """A bit of everything: messages, receipts, members who come, go and come back, refusals, a parked chat."""
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "since_join", [ANA, BEN]))
    first = message(history)
    history.add(BEN, first)
    history.add(CLEO, message(history))  # refused
    history.add(CLEO, MemberJoined(CLEO))
    history.add(CLEO, message(history))
    history.add(ANA, MessageRead(3))
    history.add(ANA, MemberRemoved(BEN))
    history.add(BEN, first)  # a repeat
    history.add(ANA, MemberAdded(BEN))
    history.add(BEN, ChatCreated("direct", None, False, "all", [BEN, ANA]), DIRECT)
    history.add(BEN, message(history), DIRECT)
    history.add(BEN, message(history))
    history.add(CLEO, MemberLeft(CLEO))
    history.add_raw(DIRECT, b"\xff not ours")
    history.add(BEN, message(history), DIRECT)
    return history


async def fold(store: CassandraFoldStore, records: Sequence[Record], size: int = 100) -> list[Changes]:
    """Fold everything from the store's position on; gives what was applied."""
    core = BatchFold(store)
    offset = (await store.positions()).get(0, 0)
    applied = []
    while offset < len(records):
        changes = await core.fold(records[offset : offset + size])
        applied.append(snapshot(changes))
        await store.apply(changes)
        offset = changes.next_offset
    return applied


def expected(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    return in_thread(lambda: play(Adversary(), records))


# --- Write times -----------------------------------------------------------------------------------------------


async def test_every_cell_was_written_at_the_offset_of_the_last_event_that_touched_its_row(
    keyspace: Keyspace, history: History
) -> None:
    await fold(fold_store(keyspace), history.records, size=4)
    cells = 0
    for table, key in (
        ("timeline", {"chat_id", "bucket", "seq"}), ("message_ids", {"chat_id", "week", "message_id"}),
        ("chats_by_user", {"user_id", "chat_id"}), ("refused", {"chat_id", "offset"}),
        ("parked", {"chat_id", "offset"}), ("positions", {"projection", "partition"}),
        ("chats", {"chat_id", "user_id"}),
    ):  # fmt: skip
        columns = [line.split()[0] for line in TABLES[table].split("PRIMARY KEY")[0].strip(" (\n,").split(",")]
        static = {line.split()[0] for line in TABLES[table].split(",") if line.strip().endswith("STATIC")}
        own = {"positions": "next_offset"}.get(table, "offset")
        values = [column for column in columns if column not in key]
        asked = ", ".join(f"WRITETIME({column})" for column in values)
        for row in keyspace.read_now(
            f"SELECT {own}, {'last_offset' if static else own}, {asked} FROM {keyspace.name}.{table}"
        ):
            for column, at in zip(values, row[2:], strict=True):
                if at is not None:
                    assert at == (row[1] if column in static else row[0]) * 1024, f"{table}.{column}"
                    cells += 1
    assert cells > 200


async def test_every_write_says_its_time_and_asks_nothing_before(keyspace: Keyspace) -> None:
    for statement in keyspace.writes.all():
        assert " USING TIMESTAMP ?" in statement
        assert " IF " not in statement
    # A fold takes away what is parked no more, a repair what the log knows nothing of.
    deletes = {statement for statement in keyspace.writes.all() if not statement.startswith("INSERT INTO ")}
    assert deletes == {keyspace.writes.release, keyspace.writes.unrefuse, keyspace.writes.unmember}


# --- The woken zombie ------------------------------------------------------------------------------------------


class PausedKeyspace(Keyspace):
    """Stops before its step number `step`, 0 being the first, until the test wakes it."""

    def __init__(self, connection: Connection, name: str, step: int) -> None:
        super().__init__(connection, name)
        self.step = step
        self.sleeping = asyncio.Event()
        self.woken = asyncio.Event()

    async def write(self, units: Iterable[Unit]) -> None:
        units = list(units)  # what it is about to write is as old as its sleep
        if self.step == 0:
            self.sleeping.set()
            await self.woken.wait()
        self.step -= 1
        await super().write(units)


@pytest.mark.parametrize("step", [0, 1, 2], ids=["before rows", "before heads", "before the position"])
async def test_a_paused_fold_that_writes_late_changes_nothing(
    keyspace: Keyspace, cassandra_connection: Connection, history: History, step: int
) -> None:
    records = history.records
    paused = PausedKeyspace(cassandra_connection, keyspace.name, step)
    zombie, zombies_core = fold_store(paused), BatchFold(fold_store(paused))
    zombies_batch = await zombies_core.fold(records[:6])
    asleep = asyncio.ensure_future(zombie.apply(zombies_batch))
    await paused.sleeping.wait()

    successor = fold_store(keyspace)
    await fold(successor, records, size=4)
    assert list(successor.rows()) == expected(records)

    paused.woken.set()
    await asleep
    assert list(successor.rows()) == expected(records)
    # It knows of nothing and folds on from where it was.
    for start in range(6, len(records), 3):
        await zombie.apply(await zombies_core.fold(records[start : start + 3]))
        assert list(successor.rows()) == expected(records)
    assert await successor.positions() == {0: len(records)}


async def test_old_batches_written_again_in_any_order_change_nothing(keyspace: Keyspace, history: History) -> None:
    store = fold_store(keyspace)
    applied = await fold(store, history.records, size=3)
    Random(4).shuffle(applied)
    for changes in applied:
        await store.apply(changes)
        assert list(store.rows()) == expected(history.records)


async def test_a_removal_that_arrives_after_the_return_does_not_undo_it(keyspace: Keyspace) -> None:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "since_join", [ANA, BEN]))
    history.add(ANA, MemberRemoved(BEN))
    store, core = fold_store(keyspace), BatchFold(fold_store(keyspace))
    await store.apply(await core.fold(history.records[:1]))
    removal = snapshot(await core.fold(history.records[1:]))
    await store.apply(removal)
    assert await store.chats_of(BEN) == []
    assert [member.user_id for member in await store.members(ROOM, "", 10)] == [ANA]

    history.add(ANA, MemberAdded(BEN))
    await fold(store, history.records)
    for _ in range(2):
        assert await store.chats_of(BEN) == [ROOM]
        assert [member.joined_seq for member in await store.members(ROOM, "", 10)] == [1, 3]
        assert [summary.own.joined_seq for summary in await store.summaries(BEN, [ROOM])] == [3]
        await store.apply(removal)


# --- Crashes between rows, heads and position ------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 2], ids=["in rows", "in heads", "in the position"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
async def test_a_crash_in_any_step_repeats_work_and_changes_nothing(
    keyspace: Keyspace, cassandra_connection: Connection, history: History, step: int, share: float
) -> None:
    steps = 0

    def break_after(units: int) -> int | None:
        nonlocal steps
        steps += 1
        return int(units * share) if steps - 1 == step else None

    broken = fold_store(FaultyKeyspace(cassandra_connection, keyspace.name, break_after))
    with pytest.raises(Unavailable, match="broke off"):
        await fold(broken, history.records)
    store = fold_store(keyspace)
    assert await store.positions() == ({0: len(history.records)} if (step, share) == (2, 1.0) else {})
    if step == 0:
        assert await store.load([ROOM, DIRECT]) == {}, "a head before its rows"
    await fold(store, history.records, size=4)
    assert list(store.rows()) == expected(history.records)


async def test_rows_without_their_head_are_not_shown(
    keyspace: Keyspace, cassandra_connection: Connection, history: History
) -> None:
    """And the holes among them are not either."""
    store = fold_store(keyspace)
    await fold(store, history.records[:5])  # seq 4 of the room
    later = [history.add(ANA, message(history)) for _ in range(4)]
    broken = FaultyKeyspace(cassandra_connection, keyspace.name, lambda units: units - 2, lambda units: units.reverse())
    with pytest.raises(Unavailable):
        await fold(fold_store(broken), history.records)
    stored = [row[2] for row in store.rows() if row[0] == "timeline" and row[1] == ROOM]
    assert stored != list(range(1, len(stored) + 1)), "there is no hole to hide"

    for reader in (store, fold_store(keyspace)):
        assert [entry.seq for entry in (await reader.entries_after(ROOM, 0, 50)).entries] == [1, 2, 3, 4]
        assert [entry.seq for entry in (await reader.entries_before(ROOM, 2**62, 50)).entries] == [1, 2, 3, 4]
        page = await reader.entries_before(ROOM, 2**62, 1, messages_only=True)
        assert ([entry.seq for entry in page.entries], page.has_more) == ([4], True)
        assert not (await reader.entries_after(ROOM, 4, 50)).has_more
        last = message_id_of(later[-1])
        assert (await reader.first_uses([(ROOM, last)]))[ROOM, last].seq > 4
        assert await reader.first_use(ROOM, last) is None
        assert await reader.seq_before(ROOM, 2**60) == 4


def message_id_of(record: Record) -> str:
    return record.value.split(b'"message_id":"')[1][:36].decode()


def faulty(connection: Connection, name: str, chance: Random, breaks: int) -> FaultyKeyspace:
    """Any order within a step, and some steps that break off after any number of units."""
    left = [breaks]

    def break_after(units: int) -> int | None:
        if not left[0] or chance.random() < 0.5:
            return None
        left[0] -= 1
        return chance.randint(0, units)

    return FaultyKeyspace(connection, name, break_after, chance.shuffle)


@few
@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5), memories, st.integers(0, 2**32))
def test_any_crash_any_order_and_any_memory_give_the_same_views(
    cassandra_connection: Connection,
    shared_keyspace: str,
    records: list[Record],
    cuts: list[int],
    memory: Memory,
    seed: int,
) -> None:
    empty(cassandra_connection, shared_keyspace)
    store = fold_store(faulty(cassandra_connection, shared_keyspace, Random(seed), 6))
    rows = play(store, records, cuts, memory)
    assert rows == expected(records)
    current = {(row[1], row[2]) for row in rows if row[0] == "members" and row[9] is None}
    for user_id in (ANA, BEN, CLEO):
        own = asyncio.run(store.chats_of(user_id))
        assert set(own) == {chat_id for chat_id, member in current if member == user_id}


@few
@given(histories(), memories, st.integers(0, 2**32))
def test_two_folds_at_once_give_the_views_of_one(
    cassandra_connection: Connection, shared_keyspace: str, records: list[Record], memory: Memory, seed: int
) -> None:
    empty(cassandra_connection, shared_keyspace)
    chance = Random(seed)
    stores = [fold_store(faulty(cassandra_connection, shared_keyspace, chance, 2)) for _ in range(2)]

    async def one(store: CassandraFoldStore) -> None:
        core = BatchFold(store, memory=memory)
        offset = 0
        while offset < len(records):
            end = offset + chance.randint(1, 6)
            try:
                changes = await core.fold(records[offset:end])
                await store.apply(changes)
                offset = changes.next_offset
            except Unavailable:
                core.forget()
                offset = (await store.positions()).get(0, 0)

    async def both() -> None:
        await asyncio.gather(*map(one, stores))

    asyncio.run(both())
    assert list(stores[0].rows()) == expected(records)


# --- Long messages, positions ----------------------------------------------------------------------------------


async def test_messages_of_100_kilobytes_go_in_and_come_back(keyspace: Keyspace) -> None:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "all", [ANA, BEN]))
    for number in range(40):
        history.add(ANA, message(history, bytes([number]) * (102_400 if number % 4 else 10)))
    store = fold_store(keyspace)
    await fold(store, history.records)
    assert list(store.rows()) == expected(history.records)


async def test_views_belong_to_one_log_and_go_no_further_than_it(keyspace: Keyspace, history: History) -> None:
    await fold(fold_store(keyspace, "this log"), history.records)
    assert await fold_store(keyspace, "this log", end=15).positions() == {0: 15}
    with pytest.raises(LogMismatch, match="folded from"):
        await fold_store(keyspace, "that log").positions()
    with pytest.raises(LogMismatch, match="beyond the log's end"):
        await fold_store(keyspace, "this log", end=14).positions()


async def test_a_log_that_others_wrote_cannot_stop_the_fold_with_its_keys(keyspace: Keyspace) -> None:
    history = History()
    for key in ("", "\0", "x" * 70_000, "ordinary"):
        history.add_raw(key, b"\xff not ours")
        history.add(DAN, ChatRetitled("no chat"), key)
        history.add(DAN, ChatRetitled("no chat"), f"{key}!")
    store = fold_store(keyspace)
    await fold(store, history.records)
    assert await store.positions() == {0: 12}
    assert {chat_id: offset for chat_id, offset in (await store.parked_chats()).items() if len(chat_id) < 60} == {
        "": 0, "\0": 3, "ordinary": 9,
    }  # fmt: skip
    assert await store.chat("") is None
    found = await store.load(["!", "\0!", "ordinary!"])
    assert {chat_id: chat.void for chat_id, chat in found.items()} == {"!": 1, "\0!": 1, "ordinary!": 1}
