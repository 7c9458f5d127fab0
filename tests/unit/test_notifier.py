"""Notes for messages: which, when, and each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from commands.errors import Unavailable
from events.ids import uuid7
from events.types import ChatCreated, ChatRetitled, MessageSent
from projections.ports import Changes
from streams.batch import BatchFold
from streams.partition import PartitionFold
from streams.push.notifier import STALE, Notifier
from streams.push.queues import Item
from streams.push.records import Note, decode_note, encode_note
from tests.contracts.adversary import Adversary
from tests.support.history import ANA, BEN, NOON, ROOM, Clock, History
from tests.unit.test_partition import Letters


class Shelf:
    """A queue of one partition. `failing`: how many puts store only their last item and then fail."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, bytes]] = []
        self.failing = 0
        self.seen: list[int] = []
        self.store: Adversary | None = None

    async def put(self, partition: int, items: Sequence[tuple[str, bytes]]) -> None:
        if self.store is not None:
            self.seen.append((await self.store.positions()).get(0, 0))
        if self.failing:
            self.failing -= 1
            self.stored += items[-1:]
            raise Unavailable("half of it is stored")
        self.stored += items

    async def tail(self, partition: int, limit: int) -> list[Item]:
        return [Item(index, *item) for index, item in enumerate(self.stored)][-limit:]

    @property
    def notes(self) -> list[Note]:
        return [decode_note(*item) for item in self.stored]

    @property
    def seqs(self) -> list[int]:
        return [note.seq for note in self.notes]


@pytest.fixture
def history() -> History:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    for _ in range(5):
        history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x"))
    history.add(ANA, ChatRetitled("Coffee"))
    return history


async def folded(history: History) -> Changes:
    return await BatchFold(Adversary()).fold(history.records)


def notifier(shelf: Shelf, tag: str = "log", clock: Clock | None = None, wanted: bool = True) -> Notifier:
    return Notifier(shelf, tag, clock or Clock(), lambda: wanted)


async def test_every_message_has_one_note_and_nothing_else_has(history: History) -> None:
    shelf = Shelf()
    its = notifier(shelf)
    await its.take_over(0)
    await its.notify(await folded(history))
    assert shelf.notes == [Note(ROOM, seq, seq - 1, "log") for seq in range(2, 7)]


async def test_a_note_is_a_reference_and_small(history: History) -> None:
    history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x" * 10_000))
    shelf = Shelf()
    its = notifier(shelf)
    await its.take_over(0)
    await its.notify(await folded(history))
    assert max(len(value) for _, value in shelf.stored) < 80


async def test_folding_anew_notifies_of_nothing_twice(history: History) -> None:
    shelf = Shelf()
    changes = await folded(history)
    for _ in range(3):
        its = notifier(shelf)
        await its.take_over(0)
        await its.notify(changes)
    assert shelf.seqs == [2, 3, 4, 5, 6]


async def test_what_was_stored_in_part_is_made_whole_by_the_next_one(history: History) -> None:
    shelf = Shelf()
    changes = await folded(history)
    shelf.stored = [encode_note(Note(ROOM, seq, seq - 1, "log")) for seq in (2, 6)]
    its = notifier(shelf)
    await its.take_over(0)
    await its.notify(changes)
    assert sorted(shelf.seqs) == [2, 3, 4, 5, 6]


async def test_notes_of_another_log_vouch_for_nothing(history: History) -> None:
    shelf = Shelf()
    shelf.stored = [encode_note(Note(ROOM, seq, seq - 1, "other")) for seq in range(2, 7)]
    its = notifier(shelf)
    await its.take_over(0)
    await its.notify(await folded(history))
    assert [note.seq for note in shelf.notes if note.log == "log"] == [2, 3, 4, 5, 6]


async def test_old_messages_are_nobodys_news(history: History) -> None:
    changes = await folded(history)
    for late_s, seqs in ((0, [2, 3, 4, 5, 6]), (1, [])):
        shelf = Shelf()
        its = notifier(shelf, clock=Clock(NOON + STALE + timedelta(seconds=late_s)))
        await its.take_over(0)
        await its.notify(changes)
        assert shelf.seqs == seqs


async def test_without_a_device_nothing_is_stored(history: History) -> None:
    shelf = Shelf()
    its = notifier(shelf, wanted=False)
    await its.take_over(0)
    await its.notify(await folded(history))
    assert shelf.stored == []


async def test_notes_are_stored_before_the_views_have_the_messages(history: History) -> None:
    store, shelf = Adversary(), Shelf()
    shelf.store = store
    fold = PartitionFold(0, store, Letters(), notifier=notifier(shelf))
    await fold.take_over()
    await fold.fold(history.records)
    assert shelf.seen == [0]
    assert shelf.seqs == [2, 3, 4, 5, 6]


async def test_a_queue_that_is_away_holds_the_fold_up(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.partition.PAUSES_S", (0,))
    store, shelf = Adversary(), Shelf()
    shelf.store, shelf.failing = store, 3
    fold = PartitionFold(0, store, Letters(), notifier=notifier(shelf))
    await fold.take_over()
    await fold.fold(history.records)
    assert shelf.seen == [0, 0, 0, 0]
    assert set(shelf.seqs) == {2, 3, 4, 5, 6}
