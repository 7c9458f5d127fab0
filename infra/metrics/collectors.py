"""What each part of a process tells when Prometheus asks. Nothing is counted here; the numbers lie with the parts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from api.security import SecurityEvents
from api.ws.gateway import Gateway
from infra.front.connections import Crowd
from infra.metrics.families import counter, counters, gauge, gauges, histogram
from streams.measures import FanoutMeasures, FoldMeasures, LogMeasures
from streams.progress import FoldProgress
from streams.push.stream import Counts

if TYPE_CHECKING:  # one process has no Faust, and a worker no log of its own
    from infra.sqlite.log import SqliteLog
    from streams.faust_worker.worker import FaustWorker

Ends = Callable[[], Mapping[int, int]]
"""Partition → the offset after the last durable record, as last heard."""


class GatewayMetrics(Collector):
    """Sockets, and what they are told."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        told = self._gateway.counters
        yield histogram("tidings_ack_seconds", told.acks)
        yield histogram("tidings_delivery_seconds", told.deliveries)
        yield counters("tidings_sends_refused", told.sends_refused)
        yield gauge("tidings_sessions", told.sessions)
        yield gauge("tidings_users_connected", len(self._gateway.hub.users))
        yield gauge("tidings_chats_followed", len(self._gateway.hub.chats))
        for name in ("connects", "frames_in", "frames_out", "bytes_out", "events", "fills", "replays", "unreadable"):
            yield counter(f"tidings_gateway_{name}", getattr(told, name))
        yield counters("tidings_gateway_errors", told.errors)
        yield counters("tidings_gateway_closes", told.closes)


class SecurityMetrics(Collector):
    """What a guard wants to know."""

    def __init__(self, events: SecurityEvents) -> None:
        self._events = events

    def collect(self) -> Iterator[Metric]:
        yield counters("tidings_security_events", self._events.counts)


class ConnectionMetrics(Collector):
    """Connections, and what they were ended for."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def collect(self) -> Iterator[Metric]:
        yield gauge("tidings_connections", self._crowd.open)
        yield gauge("tidings_connections_most", self._crowd.bounds.open_at_once)
        yield counters("tidings_connections_ended", self._crowd.ended)


class LogMetrics(Collector):
    """The log as this process appends to it. `waiting`: appends without an answer."""

    def __init__(self, measures: LogMeasures, ends: Ends, waiting: Callable[[], int], *, commits: bool) -> None:
        """`commits`: this process commits records itself, rather than send them to brokers."""
        self._measures = measures
        self._ends = ends
        self._waiting = waiting
        self._commits = commits

    def collect(self) -> Iterator[Metric]:
        yield gauges("tidings_log_end", self._ends())
        yield gauge("tidings_log_waiting", self._waiting())
        yield counter("tidings_log_failures", self._measures.failures)
        if self._commits:
            yield histogram("tidings_log_commit_seconds", self._measures.commit_s)
            yield histogram("tidings_log_commit_records", self._measures.commit_records)


class HeardMetrics(Collector):
    """Fan-out as a process hears it that serves sockets."""

    def __init__(self, measures: FanoutMeasures) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        yield counter("tidings_fanout_received", self._measures.received)
        yield counter("tidings_fanout_resyncs", self._measures.resyncs)


class SpokenMetrics(Collector):
    """Fan-out as a process speaks it that folds."""

    def __init__(self, measures: FanoutMeasures) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        yield counter("tidings_fanout_published", self._measures.published)
        yield counter("tidings_fanout_unsent", self._measures.unsent)


class FoldMetrics(Collector):
    """What a process folds."""

    def __init__(self, measures: FoldMeasures) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        told = self._measures
        yield counters("tidings_fold_records", told.records)
        yield histogram("tidings_fold_batch_records", told.batch_records)
        yield histogram("tidings_fold_seconds", told.fold_s)
        yield histogram("tidings_fold_write_seconds", told.write_s)
        yield histogram("tidings_fold_delay_seconds", told.delay_s)
        yield counters("tidings_fold_refused", told.refused)
        yield counter("tidings_fold_repeats", told.repeats)
        yield counter("tidings_fold_parked", told.parked)


class ServedGeneration(Collector):
    """Which generation of the views this process uses; `served` gives None until that is known."""

    def __init__(self, served: Callable[[], int | None]) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        yield gauge("tidings_generation_served", self._served() or 0)


class PushMetrics(Collector):
    """What a process pushes."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        told = self._counts
        results: Counter[str] = Counter()
        for (_, result), number in told.results.items():
            results[result] += number
        yield counters("tidings_pushes", results)
        yield counter("tidings_push_notes", told.notes)
        yield counter("tidings_push_repeats", told.repeats)
        yield counter("tidings_push_retries", told.retries)
        yield counter("tidings_push_dead", told.dead)
        yield gauge("tidings_push_behind_seconds", told.behind_s)


class HeardLag(Collector):
    """Lag as a gateway hears of it, who folds nothing."""

    def __init__(self, ends: Ends, progress: FoldProgress) -> None:
        self._ends = ends
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        yield gauges("tidings_projection_lag", lag(self._ends(), self._progress))


class EmbeddedLag(Collector):
    """Lag where log and fold are in one process."""

    def __init__(
        self,
        log: SqliteLog,
        progress: FoldProgress,
        measures: FoldMeasures,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: seconds since 1970."""
        self._log = log
        self._progress = progress
        self._measures = measures
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        behind = lag(self._log.ends(), self._progress)
        yield gauges("tidings_projection_lag", behind)
        seconds = {partition: self._seconds(partition) if records else 0.0 for partition, records in behind.items()}
        yield gauges("tidings_projection_lag_seconds", seconds)
        waiting = self._measures.waiting
        yield gauges("tidings_fold_waits", {partition: partition in waiting for partition in behind})

    def _seconds(self, partition: int) -> float:
        record = self._log.glance(partition, self._progress.position(partition))
        return 0.0 if record is None else max(0.0, self._clock() - record.timestamp_ms / 1000)


class WorkerLag(Collector):
    """Lag of the partitions that this worker has."""

    def __init__(self, worker: FaustWorker, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._worker = worker
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        mine = {
            partition: (standing, self._worker.slots[partition])
            for partition, standing in self._worker.watch.standings.items()
            if partition in self._worker.slots
        }
        now = self._clock()
        seconds = {}
        for partition, (standing, slot) in mine.items():
            since_ms = slot.oldest_ms
            # What was not fetched yet shows as standing still.
            seconds[partition] = standing.still_s if since_ms is None else max(0.0, now - since_ms / 1000)
        yield gauges("tidings_projection_lag", {each: standing.lag for each, (standing, _) in mine.items()})
        yield gauges("tidings_projection_lag_seconds", seconds)
        yield gauges("tidings_fold_waits", {each: slot.fold.waits_for is not None for each, (_, slot) in mine.items()})


def lag(ends: Mapping[int, int], progress: FoldProgress) -> dict[int, int]:
    """Partition → records that the views do not have yet."""
    return {partition: max(0, end - progress.position(partition)) for partition, end in ends.items()}
