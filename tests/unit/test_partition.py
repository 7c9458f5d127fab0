"""What a worker does with one partition, over stores that fail as they are told."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import pytest

from commands.chat import Chat
from commands.errors import Unavailable
from events.ids import uuid7
from events.types import ChatCreated, MessageSent
from projections.ports import Changes, Parked
from streams import partition
from streams.partition import FellBack, Gap, PartitionFold
from tests.contracts.adversary import Adversary
from tests.support.history import ANA, BEN, DIRECT, NOON, ROOM, History


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "PAUSES_S", (0,))


@pytest.fixture
def history() -> History:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    for _ in range(5):
        history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x"))
    return history


class Letters:
    def __init__(self, failures: int = 0) -> None:
        self.kept: list[Parked] = []
        self.failures = failures

    async def put(self, parked: Sequence[Parked]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no letters today")
        self.kept += parked


class Told:
    """The half of fan-out that a worker uses."""

    def __init__(self) -> None:
        self.batches: list[Changes] = []

    async def publish(self, changes: Changes) -> None:
        self.batches.append(changes)

    @property
    def seqs(self) -> list[int]:
        return [entry.seq for changes in self.batches for entry in changes.entries]


def fold_over(store: Adversary, letters: Letters | None = None, told: Told | None = None) -> PartitionFold:
    return PartitionFold(0, store, letters or Letters(), told)


async def test_it_goes_on_from_where_the_views_stand(history: History) -> None:
    store, told = Adversary(), Told()
    first = fold_over(store)
    assert await first.take_over() == 0
    await first.fold(history.records[:3])
    second = fold_over(store, told=told)
    assert await second.take_over() == 3
    assert [(changes.partition, changes.next_offset) for changes in told.batches] == [(0, 3)], "so gateways compare"
    await second.fold(history.records)
    assert second.next_offset == 6
    assert told.seqs == [4, 5, 6], "what came before is dropped"


async def test_a_gap_is_refused_and_changes_nothing(history: History) -> None:
    store = Adversary()
    fold = fold_over(store)
    await fold.take_over()
    await fold.fold(history.records[:2])
    with pytest.raises(Gap) as gap:
        await fold.fold(history.records[3:])
    assert gap.value.next_offset == fold.next_offset == 2
    assert await store.positions() == {0: 2}


async def test_while_a_store_is_away_it_waits_and_then_tells_everything_once(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    tries = iter([None, 2, 0, 1, None, None])
    store, told = Adversary(lambda writes: next(tries)), Told()
    fold = fold_over(store, told=told)
    await fold.take_over()
    await fold.fold(history.records[:2])
    await fold.fold(history.records[2:])
    assert told.seqs == [1, 2, 3, 4, 5, 6]
    assert fold.waits_for is None
    assert "waits: the store broke off" in caplog.text
    whole = Adversary()
    again = fold_over(whole)
    await again.take_over()
    await again.fold(history.records)
    assert list(store.rows()) == list(whole.rows())


class Forgetful(Adversary):
    """Comes back from an outage without what it had confirmed last."""

    def __init__(self, lost_at: int) -> None:
        super().__init__()
        self.lost_at = lost_at

    async def apply(self, changes: Changes) -> None:
        if changes.next_offset == self.lost_at:
            self.lost_at = -1
            self.fall_back(0, 2)
            raise Unavailable("the power failed")
        await super().apply(changes)


async def test_a_store_that_lost_what_it_had_confirmed_is_noticed(history: History) -> None:
    store = Forgetful(lost_at=6)
    fold = fold_over(store)
    await fold.take_over()
    await fold.fold(history.records[:2])
    await fold.fold(history.records[2:4])
    with pytest.raises(FellBack, match="stand at 0:2 but had confirmed 4"):
        await fold.fold(history.records[4:])
    assert fold.waits_for is None
    assert await fold.take_over() == 2
    await fold.fold(history.records[2:])
    assert await store.positions() == {0: 6}


async def test_dead_letters_are_kept_before_the_position_passes_them(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    history.add_raw(ROOM, b"\xff not ours")
    history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x"))
    letters = Letters(failures=3)
    positions: list[dict[int, int]] = []

    class Watched(Letters):
        async def put(self, parked: Sequence[Parked]) -> None:
            positions.append(await store.positions())
            await letters.put(parked)

    store = Adversary()
    fold = fold_over(store, Watched())
    await fold.take_over()
    await fold.fold(history.records)
    assert positions == [{}] * 4
    assert [(one.offset, one.value) for one in letters.kept] == [(6, b"\xff not ours"), (7, history.records[7].value)]
    assert await store.positions() == {0: 8}


async def test_gateways_hear_of_a_batch_only_when_the_views_have_it(history: History) -> None:
    store = Adversary()
    seen: list[tuple[int, int]] = []

    class Compares(Told):
        async def publish(self, changes: Changes) -> None:
            seen.append((changes.next_offset, (await store.positions()).get(0, 0)))

    fold = fold_over(store, told=Compares())
    await fold.take_over()
    await fold.fold(history.records[:2])
    await fold.fold(history.records[2:])
    assert seen == [(0, 0), (2, 2), (6, 6)]


class Loads(Adversary):
    """Notes which chats are read, and fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[set[str]] = []
        self.failures = 0

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        self.loaded.append(set(chat_ids))
        if self.failures:
            self.failures -= 1
            raise Unavailable("no chats today")
        return await super().load(chat_ids)


async def test_a_take_over_and_a_batch_that_failed_leave_nothing_remembered(history: History) -> None:
    store = Loads()
    fold = fold_over(store)
    await fold.take_over()
    await fold.fold(history.records[:2])
    await fold.fold(history.records[2:3])
    assert store.loaded == [{ROOM}], "what is hot is not read again"
    await fold.take_over()
    await fold.fold(history.records[3:4])
    assert store.loaded == [{ROOM}] * 2
    store.failures = 1
    history.add(ANA, ChatCreated("direct", "", False, "all", [ANA, BEN]), DIRECT)
    await fold.fold(history.records[4:])
    assert store.loaded[2:] == [{DIRECT}, {ROOM, DIRECT}], "after the failure both are read"
