"""Offsets of several partitions committed together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from infra.kafka.marks import Marks

ONE, OTHER, LOST = TopicPartition("notes", 0), TopicPartition("notes", 1), TopicPartition("notes", 2)


class Consumer:
    """Commits what it holds, and nothing at all where something else is among it."""

    def __init__(self) -> None:
        self.asked = 0
        self.committed: dict[TopicPartition, int] = {}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if LOST in offsets:
            raise CommitFailedError
        self.committed.update(offsets)


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


async def test_what_is_done_at_one_time_is_one_request(consumer: Consumer) -> None:
    marks = Marks(consumer)
    await asyncio.gather(marks.put(ONE, 5), marks.put(OTHER, 7), marks.put(ONE, 6))
    assert (consumer.asked, consumer.committed) == (1, {ONE: 6, OTHER: 7})
    await marks.put(ONE, 9)
    assert (consumer.asked, consumer.committed) == (2, {ONE: 9, OTHER: 7})


async def test_a_partition_that_has_gone_is_no_matter_of_the_others(consumer: Consumer) -> None:
    marks = Marks(consumer)
    one, lost, other = await asyncio.gather(
        marks.put(ONE, 5), marks.put(LOST, 6), marks.put(OTHER, 7), return_exceptions=True
    )
    assert (one, other) == (None, None)
    assert isinstance(lost, CommitFailedError)
    assert consumer.committed == {ONE: 5, OTHER: 7}


async def test_who_was_cancelled_marks_nothing(consumer: Consumer) -> None:
    marks = Marks(consumer)
    going, staying = asyncio.create_task(marks.put(ONE, 5)), asyncio.create_task(marks.put(OTHER, 7))
    await asyncio.sleep(0)
    going.cancel()
    await staying
    assert consumer.committed == {OTHER: 7}
