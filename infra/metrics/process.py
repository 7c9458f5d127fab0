"""What every process tells of itself: version, dependencies, and whether its event loop keeps time."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.services import Health
from infra.metrics.catalogue import SPECS
from infra.metrics.families import gauge, gauges, histogram
from streams.measures import Histogram

BEAT_S = 0.5
LOOK_EVERY_S = 5.0


class ProcessMetrics(Collector):
    def __init__(self, health: Health, beat: Heartbeat, node: str) -> None:
        self._health = health
        self._beat = beat
        self._build = (version("tidings"), platform.python_version(), node)

    def collect(self) -> Iterator[Metric]:
        spec = SPECS["tidings_build_info"]
        build = GaugeMetricFamily(spec.name, spec.meaning, labels=spec.labels)
        build.add_metric(self._build, 1)
        yield build
        yield gauges("tidings_dependency_up", {name: each.up for name, each in self._health.standings.items()})
        yield gauge("tidings_draining", self._health.draining)
        yield histogram("tidings_loop_delay_seconds", self._beat.late)


class Heartbeat:
    """Measures how late timers come, and looks now and then whether dependencies answer."""

    def __init__(self, health: Health) -> None:
        self.late = Histogram()
        self._health = health

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        looking: asyncio.Task[list[str]] | None = None
        looked_at = -LOOK_EVERY_S
        try:
            while True:
                now = loop.time()
                if now - looked_at >= LOOK_EVERY_S and (looking is None or looking.done()):
                    looked_at, looking = now, loop.create_task(self._health.degraded())
                await asyncio.sleep(BEAT_S)
                self.late.observe(max(0.0, loop.time() - now - BEAT_S))
        finally:
            if looking is not None:
                looking.cancel()


def tell(registry: CollectorRegistry, collectors: Sequence[Collector]) -> None:
    """Have a registry tell all this, and what the Prometheus client knows of process and interpreter."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody reads
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
