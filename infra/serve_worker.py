"""The worker process: it folds, and answers on a port how it is."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.http.status import status_app
from infra.serve import listen, url_of
from infra.settings import Settings
from infra.worker import run, working
from streams.faust_worker.worker import FaustWorker

logger = logging.getLogger(__name__)


def serve_worker(settings: Settings, on_ready: Callable[[str], object]) -> None:
    """Work until SIGTERM or SIGINT; `on_ready(url)` is called once the port answers.

    Raises PortTaken, WorkerFailed, and what `infra.worker.working` raises.
    """
    listener = listen(settings.host, settings.port)
    try:
        run(_serve(settings, listener, on_ready))
    finally:
        listener.close()


async def _serve(settings: Settings, listener: socket.socket, on_ready: Callable[[str], object]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    starting = asyncio.ensure_future(_work(settings, listener, on_ready, ended))
    asked = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        if not starting.done():
            starting.cancel()
        await asyncio.wait([starting])
    if not starting.cancelled():
        starting.result()


async def _work(
    settings: Settings, listener: socket.socket, on_ready: Callable[[str], object], ended: asyncio.Event
) -> None:
    async with working(settings) as (health, worker):
        metrics = CollectorRegistry()
        metrics.register(WorkerMetrics(worker))
        app = status_app(health, lambda: worker.is_healthy, metrics)
        server = _Beside(
            uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, server_header=False, loop="none")
        )
        answering = asyncio.create_task(server.serve([listener]), name="status")
        try:
            on_ready(url_of(listener))
            await worker.run()
        finally:
            health.draining = True
            server.should_exit = True
            await asyncio.wait([answering])
    logger.info("handed over")


class _Beside(uvicorn.Server):
    """uvicorn in a process that looks after signals itself."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class WorkerMetrics(Collector):
    def __init__(self, worker: FaustWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        labels = ["partition"]
        position = GaugeMetricFamily("tidings_fold_position", "Next offset to fold.", labels=labels)
        lag = GaugeMetricFamily("tidings_projection_lag", "Records that the views do not have yet.", labels=labels)
        still = GaugeMetricFamily("tidings_fold_still_seconds", "Behind without moving for so long.", labels=labels)
        waits = GaugeMetricFamily("tidings_fold_waits", "1 where a store is waited for.", labels=labels)
        for partition, standing in self._worker.watch.standings.items():
            slot = self._worker.slots.get(partition)
            if slot is None:
                continue
            name = [str(partition)]
            position.add_metric(name, standing.next_offset)
            lag.add_metric(name, standing.lag)
            still.add_metric(name, standing.still_s)
            waits.add_metric(name, slot.fold.waits_for is not None)
        yield from (position, lag, still, waits)
