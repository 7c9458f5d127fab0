"""Same log, same views: whatever the batching, redelivery, crash points, late writers and memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commands.chat import Chat
from commands.errors import Unavailable
from events.ids import uuid7
from events.log import Record
from events.types import (
    ChatCreated,
    ChatHeld,
    ChatOpened,
    ChatReleased,
    ChatRetitled,
    Data,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
    MessageSent,
    RoleChanged,
)
from infra.cassandra.connection import Connection
from infra.cassandra.keyspace import Keyspace
from infra.sqlite.views import SqliteViews
from projections.fold import Memory
from streams.batch import BatchFold
from tests.contracts.adversary import Adversary
from tests.contracts.replicas import UNREPAIRED, Replicas
from tests.support.cassandra_views import empty, fold_store
from tests.support.history import ANA, BEN, CLEO, DIRECT, NOON, ROOM, History

PEOPLE = (ANA, BEN, CLEO)
IDS = [uuid7(NOON + timedelta(seconds=90 * step)) for step in range(8)]

people = st.sampled_from(PEOPLE)
seqs = st.integers(1, 12)
events: st.SearchStrategy[Data] = st.one_of(
    st.builds(MessageSent, st.sampled_from(IDS), st.just("TEXT"), st.binary(max_size=3)),
    st.builds(MessageSent, st.sampled_from(IDS), st.just("FILE"), st.binary(max_size=3), st.sampled_from(IDS[:2])),
    st.builds(MessageDelivered, seqs),
    st.builds(MessageRead, seqs),
    st.builds(ChatRetitled, st.sampled_from(["Tea", "Coffee"])),
    st.builds(ChatOpened, st.booleans()),
    st.builds(MemberAdded, people),
    st.builds(MemberRemoved, people),
    st.builds(MemberJoined, people),
    st.builds(MemberLeft, people),
    st.builds(RoleChanged, people, st.sampled_from(["owner", "admin", "member"])),
    st.builds(ChatCreated, st.just("group"), st.just("Tea"), st.booleans(), st.just("all"), st.just([ANA, BEN])),
)
moments: st.SearchStrategy[datetime] = st.integers(0, 9).map(lambda step: NOON + timedelta(seconds=80 * step))

memories = st.builds(
    Memory,
    ids_us=st.sampled_from([0, 100_000_000, 10**12]),
    ids=st.sampled_from([0, 4, 10**6]),
    chats=st.sampled_from([0, 1, 100]),
    others=st.integers(0, 3),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    history = History()
    if draw(st.booleans()):
        history.add(ANA, ChatCreated("group", "Tea", True, "since_join", [ANA, BEN]), ROOM)
    history.add(BEN, ChatCreated("direct", None, False, "all", [BEN, ANA]), DIRECT)
    for _ in range(draw(st.integers(1, 30))):
        if draw(st.integers(0, 20)) == 0:
            history.add_raw(draw(st.sampled_from([ROOM, DIRECT])), b'{"type":"moon.landed"}')
        elif draw(st.integers(0, 10)) == 0:
            broken = [record.offset for record in history.records if b"moon" in record.value]
            discarded = draw(st.lists(st.sampled_from(broken), max_size=2)) if broken else []
            said = draw(st.sampled_from([ChatReleased(discarded), ChatReleased(discarded), ChatHeld("")]))
            history.add("operator", said, draw(st.sampled_from([ROOM, DIRECT])))
        else:
            chat_id = draw(st.sampled_from([ROOM, ROOM, DIRECT]))
            history.add(draw(people), draw(events), chat_id, draw(moments))
    return history.records


def play(
    store: Any, records: Sequence[Record], cuts: Sequence[int] = (), memory: Memory | None = None
) -> list[tuple[Any, ...]]:
    """Fold all records, batch sizes taken from `cuts` in turn, restarting whenever the store breaks off."""

    async def run() -> None:
        fold = BatchFold(store, memory=memory)
        turn = 0
        while True:
            offset = (await store.positions()).get(0, 0)
            if offset >= len(records):
                return
            size = cuts[turn % len(cuts)] if cuts else 1
            turn += 1
            try:
                await store.apply(await fold.fold(records[offset : offset + size]))
            except Unavailable:
                fold.forget()

    asyncio.run(run())
    return list(store.rows())


def sqlite(directory: str, keys_kept: int = 100) -> SqliteViews:
    return SqliteViews(Path(directory) / "views.db", "log", {0: 1_000_000}, keys_kept=keys_kept)


@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5), memories)
def test_any_batching_and_any_memory_give_the_same_views(
    records: list[Record], cuts: list[int], memory: Memory
) -> None:
    assert play(Adversary(), records, cuts, memory) == play(Adversary(), records)


@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3))
def test_sqlite_and_the_adversary_hold_the_same_rows(records: list[Record], cuts: list[int], keys_kept: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        views = sqlite(directory, keys_kept)
        assert play(views, records, cuts) == play(Adversary(), records)


@pytest.mark.needs("cassandra")
@settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking would take minutes
@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_cassandra_and_sqlite_have_the_same_rows_and_hash(
    cassandra_connection: Connection, shared_keyspace: str, records: list[Record], cuts: list[int]
) -> None:
    empty(cassandra_connection, shared_keyspace)
    store = fold_store(Keyspace(cassandra_connection, shared_keyspace))
    with tempfile.TemporaryDirectory() as directory:
        views = sqlite(directory)
        assert play(store, records, cuts) == play(views, records)
        assert store.hash() == views.hash()
        views.close()


@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_a_crash_between_any_two_writes_changes_nothing(
    records: list[Record], cuts: list[int], data: st.DataObject
) -> None:
    crashes = iter(data.draw(st.lists(st.floats(0, 1), max_size=6)))

    def break_after(writes: int) -> int | None:
        share = next(crashes, None)
        return None if share is None else int(share * writes)

    store = Adversary(break_after)
    random = data.draw(st.randoms(use_true_random=False))
    store.shuffle = random.shuffle
    assert play(store, records, cuts, memory=data.draw(memories)) == play(Adversary(), records)


@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_a_stale_batch_that_arrives_late_changes_nothing(
    records: list[Record], cuts: list[int], data: st.DataObject
) -> None:
    store = Adversary()
    rows = play(store, records, cuts)
    for changes in data.draw(st.lists(st.sampled_from(store.seen), max_size=5)):
        store.replay(changes)
    assert list(store.rows()) == rows


class Beset(Adversary):
    """Three replicas of which any two answer, workers that die over a write, and gateways that read in between."""

    def __init__(self, seed: int, unrepaired: Sequence[str] = UNREPAIRED) -> None:
        self._chance = Random(seed)
        self._deaths = 6
        super().__init__(self._break_off, Replicas(3, self._chance, unrepaired))
        self.shuffle = self._chance.shuffle

    def _break_off(self, writes: int) -> int | None:
        self._look()
        if self._deaths == 0 or self._chance.random() < 0.4:
            return None
        self._deaths -= 1
        return self._chance.randint(max(0, writes - 3), writes)  # about where the heads are

    def _look(self) -> None:
        for _ in range(self._chance.randint(0, 3)):
            chat_id, user_id = self._chance.choice([ROOM, DIRECT]), self._chance.choice(PEOPLE)
            which = self._chance.randrange(3)
            if which == 0:
                self.read_last_seq(chat_id)
            elif which == 1:
                self.read_head_and_member(chat_id, user_id)
            else:
                self.read_marks(chat_id, user_id)

    async def positions(self) -> dict[int, int]:
        self._look()
        return await super().positions()

    def all_quorums(self) -> Iterator[list[tuple[Any, ...]]]:
        for pair in combinations(range(3), 2):
            self.replicas.asked = pair
            yield list(self.rows())


@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=5), memories, st.integers(0, 2**32))
def test_whichever_replicas_answer_and_whoever_reads_in_between_the_views_are_the_same(
    records: list[Record], cuts: list[int], memory: Memory, seed: int
) -> None:
    store = Beset(seed)
    play(store, records, cuts, memory)
    expected = play(Adversary(), records)
    for rows in store.all_quorums():
        assert rows == expected


class Careless(Beset):
    """Believes what one replica may have had alone."""

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        return await self.load(chat_ids)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda seed: Beset(seed, unrepaired=()), id="readers write back what they asked for"),
        pytest.param(Careless, id="what one replica had is believed"),
    ],
)
def test_the_adversary_would_have_found(made: Callable[[int], Beset]) -> None:
    """What the rules of ADR 0060 are for: without them the views go wrong."""
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "all", [ANA, BEN]))
    for number in range(12):
        history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=number)), "TEXT", b"x"))
        history.add(ANA, MessageRead(number + 1))
    expected = play(Adversary(), history.records)

    def goes_wrong(seed: int) -> bool:
        store = made(seed)
        try:
            play(store, history.records, [2, 1, 3])
        except TypeError:  # a head with holes in it
            return True
        return any(rows != expected for rows in store.all_quorums())

    assert any(map(goes_wrong, range(200)))


@given(histories(), memories, st.integers(0, 2**32))
def test_two_folds_at_once_give_the_views_of_one(records: list[Record], memory: Memory, seed: int) -> None:
    """A paused worker that wakes up folds on from where it was, beside its successor."""
    store = Adversary()
    chance = Random(seed)

    async def run() -> None:
        folds = [BatchFold(store, memory=memory) for _ in range(2)]
        offsets = [0, 0]
        while min(offsets) < len(records):
            which = chance.randint(0, 1) if max(offsets) < len(records) else offsets.index(min(offsets))
            if offsets[which] >= len(records):
                continue
            if chance.random() < 0.1:
                folds[which].forget()
                offsets[which] = (await store.positions()).get(0, 0)
                continue
            end = offsets[which] + chance.randint(1, 6)
            changes = await folds[which].fold(records[offsets[which] : end])
            offsets[which] = changes.next_offset
            await store.apply(changes)

    asyncio.run(run())
    assert list(store.rows()) == play(Adversary(), records)


@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_numbers_are_dense_and_everything_is_counted(records: list[Record], cuts: list[int]) -> None:
    store = Adversary()
    rows = play(store, records, cuts)
    for row in rows:
        if row[0] == "chats":
            chat_id, seq, n, applied, void, repeated = row[1], row[9], row[10], *row[-3:]
            timeline = [entry for entry in rows if entry[0] == "timeline" and entry[1] == chat_id]
            parked = [park for park in rows if park[0] == "parked" and park[1] == chat_id]
            assert [entry[2] for entry in timeline] == list(range(1, seq + 1))
            assert sum(entry[6] == "message.sent" for entry in timeline) == n
            assert all(a[5] <= b[5] for a, b in pairwise(timeline))
            assert applied + void + repeated + len(parked) == sum(r.key == chat_id for r in records)


@given(histories())
def test_each_message_id_is_shown_at_most_once(records: list[Record]) -> None:
    rows = play(Adversary(), records)
    shown = [(row[1], row[8]) for row in rows if row[0] == "timeline" and row[6] == "message.sent"]
    ids = [(chat_id, raw.split(b'"')[3]) for chat_id, raw in shown]
    assert len(ids) == len(set(ids))
