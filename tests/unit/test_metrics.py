"""Every metric has a meaning, and what is counted is told as it was counted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from api.services import Health
from api.ws.counters import Counters
from commands.errors import Unavailable
from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated
from infra.memory.fanout import MemoryFanout
from infra.metrics.catalogue import CHAPTERS, SPECS, page
from infra.metrics.collectors import FoldMetrics, GatewayMetrics, HeardLag, LogMetrics
from infra.metrics.families import histogram
from infra.metrics.process import Heartbeat, ProcessMetrics
from projections.ports import Changes, Entry, Parked, Refused
from streams.measures import FoldMeasures, Histogram, LogMeasures
from streams.progress import FoldProgress
from tests.support.history import NOON
from tests.support.prometheus import sample
from tests.support.world import World

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
ANA, BEN = "ana", "ben"
ROOM = uuid7(NOON)


def told(*collectors: Collector) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def test_the_page_of_metrics_is_made_from_the_catalogue() -> None:
    assert PAGE.read_text() == page(), "python -m infra.metrics writes it"


def test_every_metric_has_its_own_name_and_is_explained() -> None:
    every = [spec for chapter in CHAPTERS for spec in chapter.specs]
    assert len(every) == len(SPECS)
    for spec in every:
        assert spec.meaning.endswith("."), spec.name
        assert spec.advice.endswith("."), spec.name
        assert not spec.name.endswith(("_total", "_bucket", "_sum", "_count"))


def test_what_the_catalogue_does_not_explain_cannot_be_told() -> None:
    with pytest.raises(KeyError):
        histogram("tidings_unheard_of", Histogram())


def test_a_histogram_counts_values_up_to_each_bound() -> None:
    measured = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 7) * 1_000:
        measured.observe(value)
    assert (measured.count, measured.total) == (4_000, 10_000)
    (family,) = [histogram("tidings_ack_seconds", measured)]
    assert {each.labels.get("le"): each.value for each in family.samples if each.name.endswith("_bucket")} == {
        "1.0": 2_000,
        "2.0": 3_000,
        "+Inf": 4_000,
    }


async def test_sends_are_counted_by_how_they_were_answered_and_how_long_that_took() -> None:
    world = await World.begin()
    await world.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    world.unpublished.clear()
    world.hub.shared.clock = lambda: world.timers.now().timestamp() + 3
    ana = await world.connect(ANA)
    ana.send(ROOM, uuid7(world.timers.now()))
    await world.turn()
    ana.send(ROOM, "no uuid")
    ana.send(uuid7(world.timers.now()), uuid7(world.timers.now()))
    await world.turn()

    text = told(GatewayMetrics(world.gateway))

    assert sample(text, "tidings_ack_seconds_count") == 1
    assert sample(text, "tidings_delivery_seconds_count") == 1
    assert sample(text, "tidings_delivery_seconds_sum") == 3
    assert sample(text, "tidings_sends_refused_total", code="invalid") == 1
    assert sample(text, "tidings_sends_refused_total", code="no_such_chat") == 1
    assert sample(text, "tidings_gateway_errors_total", code="invalid") == 1
    assert sample(text, "tidings_sessions") == 1
    assert sample(text, "tidings_users_connected") == 1
    assert sample(text, "tidings_chats_followed") == 1
    await world.end()


async def test_no_number_of_the_gateway_is_kept_back() -> None:
    world = await World.begin()
    told_names = told(GatewayMetrics(world.gateway))
    by_another_name = {"acks": "tidings_ack_seconds", "deliveries": "tidings_delivery_seconds"}
    for name in Counters.__dataclass_fields__:
        assert by_another_name.get(name, name) in told_names
    await world.end()


def record(offset: int, timestamp_ms: int) -> Record:
    return Record(3, offset, timestamp_ms, ROOM, b"{}")


def test_a_batch_is_measured_up_to_where_the_views_have_it() -> None:
    measures = FoldMeasures(clock=lambda: 100.0)
    changes = Changes(3, 12, repeats=2)
    changes.refused.append(Refused(ROOM, 3, 10, "ben", "not_a_member", None))
    changes.parked.append(Parked(ROOM, 3, 11, "broken", b"{"))

    measures.note([record(10, 99_250), record(11, 99_500), record(12, 99_900)], changes, 5.0, 5.5, 5.75)

    text = told(FoldMetrics(measures))
    assert sample(text, "tidings_fold_records_total", partition="3") == 2
    assert sample(text, "tidings_fold_seconds_sum") == 0.5
    assert sample(text, "tidings_fold_write_seconds_sum") == 0.25
    assert sample(text, "tidings_fold_delay_seconds_sum") == 0.75
    assert sample(text, "tidings_fold_refused_total", code="not_a_member") == 1
    assert sample(text, "tidings_fold_repeats_total") == 2
    assert sample(text, "tidings_fold_parked_total") == 1


def test_lag_is_what_the_log_has_and_the_views_do_not() -> None:
    progress = FoldProgress()
    progress.advance(0, 40)
    ends: Mapping[int, int] = {0: 42, 1: 7}
    text = told(
        LogMetrics(LogMeasures(failures=1), lambda: ends, lambda: 5, commits=False), HeardLag(lambda: ends, progress)
    )
    assert sample(text, "tidings_log_end", partition="0") == 42
    assert sample(text, "tidings_log_waiting") == 5
    assert sample(text, "tidings_log_failures_total") == 1
    assert sample(text, "tidings_projection_lag", partition="0") == 2
    assert sample(text, "tidings_projection_lag", partition="1") == 7


async def test_a_dependency_that_is_away_is_told_once_asked() -> None:
    async def up() -> None: ...

    async def down() -> None:
        raise Unavailable("gone")

    health = Health({"log": up, "views": down})
    await health.degraded()
    text = told(ProcessMetrics(health, Heartbeat(health), "gateway-1"))
    assert sample(text, "tidings_dependency_up", name="log") == 1
    assert sample(text, "tidings_dependency_up", name="views") == 0
    assert sample(text, "tidings_draining") == 0
    assert 'node="gateway-1"' in text


async def test_fan_out_in_one_process_counts_chats_that_somebody_here_follows() -> None:
    world = await World.begin()
    fanout = MemoryFanout()
    fanout.attach(world.hub)
    await fanout.subscribe(chats=[ROOM])
    changes = Changes(0, 2)
    changes.entries += [Entry(chat, 1, 0, 0, 0, "chat.retitled", "ana", b"{}") for chat in (ROOM, "other")]
    await fanout.publish(changes)
    assert (fanout.measures.published, fanout.measures.received) == (1, 1)
    await world.end()
