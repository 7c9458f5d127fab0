"""Figures of a span, counted by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from events.ids import uuid7
from events.types import ChatCreated, MessageDelivered, MessageRead, MessageSent
from infra.cli.stats import as_text
from infra.memory.views import MemoryViews
from streams.batch import BatchFold
from streams.statistics import Latencies, Statistics
from tests.support.history import ANA, BEN, CLEO, NOON, History


async def heard(history: History, begin: dict[int, int]) -> Statistics:
    statistics, store = Statistics(begin), MemoryViews()
    fold = BatchFold(store)
    for start in range(0, len(history.records), 3):
        batch = history.records[start : start + 3]
        changes = await fold.fold(batch)
        await store.apply(changes)
        statistics.hear(batch, changes)
    return statistics


@pytest.fixture
def history() -> History:
    history = History()

    def after(seconds: float) -> None:
        history.clock.move(seconds)

    history.add(ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    history.add(ANA, MessageSent(uuid7(NOON), "TEXT", b"x"))
    after(2)
    history.add(BEN, MessageDelivered(2))
    after(10)
    history.add(BEN, MessageRead(2))
    history.add(BEN, MessageRead(2))
    history.add(CLEO, MessageRead(2))
    after(3_600)
    history.add(BEN, MessageSent(uuid7(history.clock()), "TEXT", b"x"))
    history.add(BEN, MessageRead(3))
    after(1)
    history.add(ANA, MessageDelivered(3))
    return history


async def test_a_span_is_counted(history: History) -> None:
    told = (await heard(history, {0: 0})).told()
    assert (told["events"], told["refused"]) == (9, 1)
    assert told["types"] == {"chat.created": 1, "message.delivered": 2, "message.read": 4, "message.sent": 2}
    assert (told["active_chats"], told["active_users"]) == (1, 3)
    assert told["delivery"] == {"count": 2, "p50_ms": 1_000, "p90_ms": 2_000, "p95_ms": 2_000, "p99_ms": 2_000}
    assert (told["read"]["count"], told["read"]["p50_ms"]) == (1, 12_000), "neither repeats, refusals nor one's own"
    noon_ms = int(NOON.timestamp() * 1000)
    assert told["hours"] == {str(noon_ms): 6, str(noon_ms + 3_600_000): 3}


async def test_what_comes_before_the_span_is_known_but_not_counted(history: History) -> None:
    told = (await heard(history, {0: 3})).told()
    assert told["events"] == 6
    assert told["delivery"]["count"] == 1
    assert told["read"]["p50_ms"] == 12_000, "from a message before the span"


async def test_the_figures_are_plotted(history: History) -> None:
    text = as_text((await heard(history, {0: 0})).told())
    assert "sent to delivered" in text
    hours = [line for line in text.splitlines() if "█" in line]
    assert [line.count("█") for line in hours] == [50, 25]
    assert hours[0].startswith("2026-03-01 12h")
    assert as_text((await heard(History(), {0: 0})).told()).startswith("0 events")


def test_percentiles_are_of_what_was_added() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) is None
    for ms in range(1, 101):
        latencies.add(ms)
    assert [latencies.percentile(each) for each in (50, 90, 99, 100)] == [50, 90, 99, 100]
    latencies.add(int(timedelta(days=3).total_seconds() * 1000))
    assert latencies.percentile(100) == 259_000_000
