"""The task of an assigned partition, over a store that keeps rows and heads but may not have the position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated, MessageSent
from infra.sqlite.views import SqliteViews
from projections.ports import Parked
from streams.faust_worker.slot import Slot
from streams.partition import PartitionFold
from tests.support.history import ANA, BEN, NOON, History


class NoLetters:
    async def put(self, parked: Sequence[Parked]) -> None:
        raise AssertionError("nothing is parked here")


class Forgetful(SqliteViews):
    """Gives its position as it was before the last batch, until that is folded again."""

    behind = False

    async def positions(self) -> dict[int, int]:
        return {0: 1} if self.behind else await super().positions()


@pytest.fixture
def history() -> History:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x"))
    return history


class Consumer:
    """Gives a slot what it seeks."""

    def __init__(self, records: Sequence[Record], views: SqliteViews) -> None:
        self.sought: list[int] = []
        self.failures: list[BaseException] = []
        self._records = records
        self.slot = Slot(PartitionFold(0, views, NoLetters()), self._seek, self.failures.append)
        self.folded = asyncio.Event()
        self.seeking = asyncio.Event()

    async def _seek(self, offset: int) -> None:
        self.sought.append(offset)
        self.seeking.set()

    async def feed(self) -> None:
        """What there is from where it was last sought."""
        self.folded.clear()
        async with asyncio.timeout(5):
            await self.slot.ready.wait()
            await self.slot.put(self._records[self.sought[-1] :], self.folded.set)
            await self.folded.wait()


@pytest.fixture
async def views(tmp_path: Path) -> AsyncIterator[Forgetful]:
    views = Forgetful(tmp_path / "views.db", "log", {0: 100})
    yield views
    views.close()


async def test_an_idle_partition_is_folded_again_from_the_position_that_its_views_have(
    history: History, views: Forgetful
) -> None:
    consumer = Consumer(history.records, views)
    await consumer.feed()
    before = views.hash()
    views.behind = True
    consumer.seeking.clear()
    consumer.slot.begin_again()
    async with asyncio.timeout(5):
        await consumer.seeking.wait()
    await consumer.feed()
    assert consumer.sought == [0, 1]
    assert not consumer.failures
    assert views.hash() == before
    await consumer.slot.close(1)
