"""What `tidings audit --continuous` tells when Prometheus asks: how its last round ended, and how generations stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from infra.cli.generations import GenerationStanding
from infra.metrics.families import counter, gauge, gauges, grid
from infra.metrics.process import tell
from streams.audit import Audit

_OUTCOMES = ("applied", "void", "repeats", "parked")


class AuditMetrics(Collector):
    """Tells nothing that it has not heard of yet, so that an old result is never taken for a new one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds since 1970."""
        self._clock = clock
        self._rounds = 0
        self._last: tuple[Audit, float, float] | None = None
        self._generations: Sequence[GenerationStanding] | None = None

    def note(self, found: Audit, took_s: float) -> None:
        """A round has ended."""
        self._rounds += 1
        self._last = found, took_s, self._clock()

    def stand(self, generations: Sequence[GenerationStanding]) -> None:
        """How all generations stand now."""
        self._generations = generations

    def collect(self) -> Iterator[Metric]:
        if (generations := self._generations) is not None:
            yield gauges("tidings_generation_lag", {each.generation: each.lag_events for each in generations})
            yield gauges("tidings_generation_lag_seconds", {each.generation: each.lag_seconds for each in generations})
            yield gauges(
                "tidings_generation_parked_chats", {each.generation: each.parked_chats for each in generations}
            )
        if self._last is not None:
            yield from self._round(*self._last)

    def _round(self, found: Audit, took_s: float, ended_s: float) -> Iterator[Metric]:
        yield gauge("tidings_audit_mismatched_chats", found.mismatched)
        records = {
            (str(each.partition), outcome): float(getattr(each, outcome))
            for each in found.partitions
            for outcome in _OUTCOMES
        }
        yield grid("tidings_audit_records", records)
        yield counter("tidings_audit_rounds", self._rounds)
        yield gauge("tidings_audit_round_seconds", took_s)
        yield gauge("tidings_audit_ended_seconds", ended_s)


@contextmanager
def told_at(host: str, port: int) -> Iterator[tuple[AuditMetrics, str]]:
    """Metrics, told at an address by a thread of its own: a round takes the process for minutes. Raises OSError."""
    registry, metrics = CollectorRegistry(), AuditMetrics(time.time)
    tell(registry, [metrics])
    server, thread = start_http_server(port, host, registry)
    try:
        yield metrics, f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
