"""What `tidings audit --continuous` tells when Prometheus asks: how its last round ended, and how generations stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Tells nothing before the first round has ended, so that an old result is never taken for a new one."""

    def __init__(self) -> None:
        self._rounds = 0
        self._last: tuple[Audit, int, Sequence[GenerationStanding], float, float] | None = None

    def note(
        self, found: Audit, served: int, generations: Sequence[GenerationStanding], ended_s: float, took_s: float
    ) -> None:
        """A round has ended: `ended_s` in seconds since 1970."""
        self._rounds += 1
        self._last = found, served, generations, ended_s, took_s

    def collect(self) -> Iterator[Metric]:
        if self._last is None:
            return
        found, served, generations, ended_s, took_s = self._last
        yield gauge("tidings_generation_served", served)
        yield gauges("tidings_generation_lag", {each.generation: each.lag_events for each in generations})
        yield gauges("tidings_generation_lag_seconds", {each.generation: each.lag_seconds for each in generations})
        yield gauges("tidings_generation_parked_chats", {each.generation: each.parked_chats for each in generations})
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
    registry, metrics = CollectorRegistry(), AuditMetrics()
    tell(registry, [metrics])
    server, thread = start_http_server(port, host, registry)
    try:
        yield metrics, f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
