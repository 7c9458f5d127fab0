"""How long a worker lets records gather: by what came last. And meanwhile nothing is fetched."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from streams.faust_worker.transport import LINGER_S, MAX_BATCH, ConsumerThread, linger_s

HERE = TP("log", 0)
THERE = TP("log", 1)


class FakeConsumer:
    """aiokafka's: `fetched` is what is there for whoever takes it."""

    _closed = False

    def __init__(self) -> None:
        self.stopped: set[TP] = set()
        self.fetched: dict[TP, list[object]] = {}
        self.was_stopped: set[TP] | None = None
        """What was, when records were last taken."""
        self._fetcher = SimpleNamespace(
            _closed=False,
            _subscriptions=SimpleNamespace(fetch_context=nullcontext),
            fetched_records=self._take,
        )

    def assignment(self) -> frozenset[TP]:
        return frozenset((HERE, THERE))

    def paused(self) -> set[TP]:
        return set(self.stopped)

    def pause(self, *partitions: TP) -> None:
        self.stopped |= set(partitions)

    def resume(self, *partitions: TP) -> None:
        self.stopped -= set(partitions)

    async def _take(self, *arguments: Any, **options: Any) -> dict[TP, list[object]]:
        self.was_stopped = set(self.stopped)
        return self.fetched


async def take(consumer: FakeConsumer, **records: int) -> None:
    consumer.fetched = {{"here": HERE, "there": THERE}[where]: [object()] * count for where, count in records.items()}
    thread = ConsumerThread.__new__(ConsumerThread)
    thread.consumer = cast(Any, SimpleNamespace(flow_active=True))
    await thread._fetch_records(consumer, {HERE, THERE})


async def test_while_records_gather_none_are_fetched_and_then_those_of_every_partition() -> None:
    consumer = FakeConsumer()
    await take(consumer, here=3)
    assert consumer.stopped == {HERE, THERE}
    await take(consumer, here=2, there=5)
    assert consumer.was_stopped == set()
    assert consumer.stopped == {HERE, THERE}


async def test_fetching_goes_on_where_nothing_came_and_where_there_is_a_backlog() -> None:
    consumer = FakeConsumer()
    await take(consumer, here=1)
    await take(consumer)
    assert consumer.stopped == set()
    await take(consumer, here=MAX_BATCH)
    assert consumer.stopped == set()


def test_who_comes_after_a_quiet_time_waits_for_nobody() -> None:
    assert linger_s(0) == 0


def test_the_more_came_the_longer_but_never_beyond_the_bound() -> None:
    waits = [linger_s(records) for records in range(MAX_BATCH)]
    assert waits == sorted(waits)
    assert waits[1] < LINGER_S == waits[-1]


def test_a_backlog_is_taken_without_a_pause() -> None:
    assert linger_s(MAX_BATCH) == 0
