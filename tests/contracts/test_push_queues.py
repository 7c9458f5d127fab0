"""What the queues of notifications and retries must do, in SQLite and in Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.push.queues import Held, Item
from tests.support.queues import KafkaQueues, Queues, SqliteQueues, holding

PATIENCE_S = 30.0


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.needs("kafka"))])
async def queues(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Queues]:
    if request.param == "sqlite":
        made = SqliteQueues(tmp_path / "push.db")
        yield made
        await made.file.close()
        return
    there = KafkaQueues(request.getfixturevalue("kafka").bootstrap)
    yield there
    for queue in there.opened:
        await queue.close()


def items(first: int, count: int) -> list[tuple[str, bytes]]:
    return [(f"chat-{number}", str(number).encode()) for number in range(first, first + count)]


class Taker:
    """Takes what comes in one partition, and says that it is done where it is told to."""

    def __init__(self, partition: int = 0, *, limit: int = 500, done_below: int = 1_000_000) -> None:
        self.partition = partition
        self.limit = limit
        self.done_below = done_below
        self.before: list[Item] = []
        self.taken: list[Item] = []
        self.confirmed = 0
        self._news = asyncio.Condition()

    async def __call__(self, held: Held) -> None:
        if held.partition != self.partition:
            return
        self.before = list(await held.before(3))
        while not held.closing:
            for item in await held.take(self.limit):
                self.taken.append(item)
                if item.offset < self.done_below:
                    await held.done(item.offset + 1)
                    self.confirmed = item.offset + 1
                async with self._news:
                    self._news.notify_all()

    async def has(self, count: int) -> list[Item]:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(self.taken) >= count)
        return self.taken

    @property
    def offsets(self) -> list[int]:
        return [item.offset for item in self.taken]


async def test_what_is_put_is_taken_in_order(queues: Queues) -> None:
    queue, taker = await queues.queue(), Taker()
    await queue.put(0, items(0, 3))
    async with holding(queues, taker):
        await taker.has(3)
        await queue.put(0, items(3, 2))
        assert await taker.has(5) == [Item(n, f"chat-{n}", str(n).encode()) for n in range(5)]
    assert taker.before == []


async def test_partitions_are_apart(queues: Queues) -> None:
    queue, taker = await queues.queue(), Taker(partition=1)
    await queue.put(0, items(0, 2))
    await queue.put(1, items(10, 2))
    async with holding(queues, taker):
        found = await taker.has(2)
    assert [item.key for item in found] == ["chat-10", "chat-11"]


async def test_the_next_holder_begins_behind_what_is_done_and_sees_what_came_before(queues: Queues) -> None:
    queue = await queues.queue()
    await queue.put(0, items(0, 6))
    first = Taker(done_below=4)
    async with holding(queues, first):
        await first.has(6)
    second = Taker()
    async with holding(queues, second):
        await second.has(2)
    assert second.offsets == [4, 5]
    assert [item.offset for item in second.before] == [1, 2, 3]


async def test_a_holder_takes_no_more_than_it_asks_for(queues: Queues) -> None:
    queue = await queues.queue()
    await queue.put(0, items(0, 5))
    sizes: list[int] = []
    enough = asyncio.Event()

    async def work(held: Held) -> None:
        while held.partition == 0 and sum(sizes) < 5:
            sizes.append(len(await held.take(2)))
        if held.partition == 0:
            enough.set()

    async with holding(queues, work), asyncio.timeout(PATIENCE_S):
        await enough.wait()
    assert max(sizes) <= 2


async def test_the_tail_is_what_was_put_last_done_or_not(queues: Queues) -> None:
    queue, taker = await queues.queue(), Taker(done_below=2)
    assert list(await queue.tail(0, 10)) == []
    await queue.put(0, items(0, 5))
    async with holding(queues, taker):
        await taker.has(5)
    assert [item.offset for item in await queue.tail(0, 3)] == [2, 3, 4]
    assert [item.offset for item in await queue.tail(0, 10)] == [0, 1, 2, 3, 4]
    assert list(await queue.tail(1, 10)) == []


async def test_what_a_work_raises_ends_the_holder(queues: Queues) -> None:
    queue = await queues.queue()
    await queue.put(0, items(0, 1))

    async def work(held: Held) -> None:
        await held.take(1)
        raise ValueError("broken")

    async with holding(queues, work) as task, asyncio.timeout(PATIENCE_S):
        with pytest.raises((ValueError, ExceptionGroup)) as raised:
            await task
    assert "broken" in str(raised.getrepr())
