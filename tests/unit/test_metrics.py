"""What /metrics tells of sockets, log and fold."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from api.ws.counters import Counters
from infra.metrics import ServerMetrics
from streams.progress import FoldProgress


def test_every_counter_of_the_gateway_and_the_lag_of_each_partition_are_told() -> None:
    counters = Counters(sessions=3, connects=5, frames_in=7)
    counters.closes[4401] += 2
    progress = FoldProgress()
    progress.advance(0, 40)
    registry = CollectorRegistry()
    registry.register(ServerMetrics(counters, lambda: {0: 42, 1: 7}, progress))
    told = generate_latest(registry).decode()
    for line in (
        "tidings_sessions 3.0",
        "tidings_gateway_connects_total 5.0",
        "tidings_gateway_frames_in_total 7.0",
        'tidings_gateway_closes_total{code="4401"} 2.0',
        'tidings_log_end{partition="0"} 42.0',
        'tidings_projection_lag{partition="0"} 2.0',
        'tidings_projection_lag{partition="1"} 7.0',
    ):
        assert line in told.splitlines()


def test_no_field_of_the_counters_is_forgotten() -> None:
    registry = CollectorRegistry()
    registry.register(ServerMetrics(Counters(), dict, FoldProgress()))
    told = generate_latest(registry).decode()
    for name in Counters.__dataclass_fields__:
        assert name in told
