"""Writes of several partitions put together, against a store that tells what it was given, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

import pytest

from commands.chat import Chat
from commands.errors import Unavailable
from infra.cassandra.group import GroupWriter
from infra.cassandra.serialise import Serialiser, Unit
from infra.cassandra.statements import Writes
from projections.ports import Changes, Membership, Parked

DELAY_S = 0.03
WRITES = Writes.on("k")


class Store:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        """Write for write, the tables or users that rows went to."""
        self.unsafe: set[str] = set()
        """What a loss of power now would undo."""
        self.is_away = False
        self.refuses: Callable[[list[str]], bool] = lambda names: False
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Event()

    async def write(self, units: Iterable[Unit]) -> None:
        names = [_name(unit) for unit in units]
        await self.gate.wait()
        if self.is_away or self.refuses(names):
            raise Unavailable("away")
        for name in names:
            assert not SPOKEN_OF[name[:4]] & {each[:4] for each in self.unsafe}, f"{name} over {self.unsafe}"
        if names:
            self.written.append(names)
            self.unsafe.update(names)
            self.came.set()

    async def on_disk(self) -> None:
        await asyncio.sleep(0)
        self.unsafe.clear()

    @property
    def positions(self) -> list[str]:
        return [name for names in self.written for name in names if name.startswith("position")]


SPOKEN_OF = {"user": set(), "head": {"user"}, "free": {"user", "head"}, "posi": {"user", "head", "free"}}
"""What must be on the disk before a write of this kind is begun."""


def _name(unit: Unit) -> str:
    ((statement, values),) = unit.writes
    if statement == WRITES.head:
        return f"head of {bytes(values[0]).decode()}"
    if statement == WRITES.release:
        return f"free {bytes(values[1]).decode()}"
    if statement == WRITES.position:
        return f"position {int.from_bytes(values[1])}:{int.from_bytes(values[2])}"
    return bytes(values[0]).decode()


def changes(partition: int, offset: int) -> Changes:
    made = Changes(partition, offset)
    user = f"user {partition}:{offset}"
    made.memberships[user, "c"] = Membership(user, "c", 1, None, offset - 1)
    return made


@pytest.fixture
def store() -> Store:
    return Store()


def writer(
    store: Store, delay_s: float = DELAY_S, dropped: Callable[[Collection[int]], None] | None = None
) -> GroupWriter:
    return GroupWriter(store.write, store.on_disk, Serialiser(WRITES, "log"), delay_s, dropped)


async def test_what_comes_while_a_group_is_written_goes_together(store: Store) -> None:
    group = writer(store)
    store.gate.clear()
    first = asyncio.create_task(group.apply(changes(0, 1)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(group.apply(changes(partition, 1))) for partition in (1, 2)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(first, *others)
    assert store.written == [["user 0:1"], ["user 1:1", "user 2:1"], ["position 0:1"]]


async def test_a_position_goes_alone_where_nothing_follows(store: Store) -> None:
    group = writer(store)
    await group.apply(changes(0, 1))
    assert store.positions == []
    store.came.clear()
    async with asyncio.timeout(5):
        await store.came.wait()
    assert store.written == [["user 0:1"], ["position 0:1"]]


async def test_to_settle_does_not_wait_for_the_delay(store: Store) -> None:
    group = writer(store, delay_s=3600)
    await group.apply(changes(0, 1))
    async with asyncio.timeout(5):
        await group.settle()
    assert store.positions == ["position 0:1"]


async def test_without_a_delay_the_position_is_there_on_return(store: Store) -> None:
    await writer(store, delay_s=0).apply(changes(0, 1))
    assert store.positions == ["position 0:1"]


async def test_after_a_failure_no_position_is_written_that_was_owed(store: Store) -> None:
    """The store may have lost, with its power, the rows that the position speaks of."""
    group = writer(store, delay_s=3600)
    await group.apply(changes(0, 1))
    store.is_away = True
    with pytest.raises(Unavailable):
        await group.apply(changes(1, 1))
    store.is_away = False
    await group.settle()
    assert store.positions == []


async def test_whose_position_was_dropped_is_told(store: Store) -> None:
    """Else an idle partition would stay behind its views for as long as nothing is written to it."""
    told: list[list[int]] = []
    group = writer(store, delay_s=3600, dropped=lambda partitions: told.append(sorted(partitions)))
    await asyncio.gather(group.apply(changes(0, 1)), group.apply(changes(1, 1)))
    store.is_away = True
    await group.settle()
    assert told == [[0, 1]]
    with pytest.raises(Unavailable):
        await group.apply(changes(2, 1))
    assert told == [[0, 1]], "nothing was owed any more"


async def test_to_settle_ends_when_the_store_is_away(store: Store) -> None:
    group = writer(store, delay_s=3600)
    await group.apply(changes(0, 1))
    store.is_away = True
    async with asyncio.timeout(5):
        await group.settle()
    assert store.positions == []


async def test_what_one_of_a_group_is_to_blame_for_the_others_do_not_pay(store: Store) -> None:
    group = writer(store)
    store.gate.clear()
    store.refuses = lambda names: "user 1:1" in names
    first = asyncio.create_task(group.apply(changes(0, 1)))
    await asyncio.sleep(0)
    bad, good = (asyncio.create_task(group.apply(changes(partition, 1))) for partition in (1, 2))
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(first, good)
    with pytest.raises(Unavailable):
        await bad
    await group.settle()
    assert "position 2:1" in store.positions
    assert not any(name.endswith(" 1:1") for name in store.positions)


async def test_who_is_cancelled_holds_nobody_up(store: Store) -> None:
    group = writer(store)
    store.gate.clear()
    waiting = asyncio.create_task(group.apply(changes(0, 1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    store.gate.set()
    await group.apply(changes(1, 1))
    assert ["user 0:1"] in store.written


async def test_nothing_is_begun_before_what_it_speaks_of_is_on_the_disk(store: Store) -> None:
    """The store's own assertion looks at each write."""
    group = writer(store)
    for offset in range(1, 4):
        made = changes(0, offset)
        made.heads["c"] = Chat("c", offset=offset - 1)
        made.released.append(Parked("c", 0, offset - 1, "", b""))
        await group.apply(made)
    await group.settle()
    assert store.written == [
        ["user 0:1"], ["head of c"], ["free c"],
        ["user 0:2"], ["position 0:1", "head of c"], ["free c"],
        ["user 0:3"], ["position 0:2", "head of c"], ["free c"],
        ["position 0:3"],
    ]  # fmt: skip
