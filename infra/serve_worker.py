"""The worker process: it folds, and answers on a port how it is."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from threading import Timer

import uvicorn
from prometheus_client import CollectorRegistry

from api.http.status import status_app
from infra.cycles import look_seldom, never_look_at_these
from infra.front.connections import connection_class
from infra.front.descriptors import raise_descriptor_limit
from infra.metrics.process import Heartbeat, ProcessMetrics, tell
from infra.parts import Work
from infra.serve import crowd_for, listen, url_of
from infra.settings import Settings
from infra.worker import run, working

logger = logging.getLogger(__name__)

END_S = 10.0
"""How long handing over and closing may take."""


def serve_worker(settings: Settings, on_ready: Callable[[str], object]) -> None:
    """Work until SIGTERM or SIGINT; `on_ready(url)` is called once the port answers.

    Raises PortTaken, WorkerFailed, and what `infra.worker.working` raises.
    """
    look_seldom()
    descriptors = raise_descriptor_limit()
    listener = listen(settings.host, settings.port)
    try:
        run(_serve(settings, listener, descriptors, on_ready))
    finally:
        listener.close()


async def _serve(
    settings: Settings, listener: socket.socket, descriptors: int, on_ready: Callable[[str], object]
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    starting = asyncio.ensure_future(_work(settings, listener, descriptors, on_ready, ended))
    asked = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        _end_in_any_case(0 if ended.is_set() else 1)
        if not starting.done():
            starting.cancel()
        await asyncio.wait([starting])
    if not starting.cancelled():
        starting.result()


def _end_in_any_case(status: int) -> None:
    """Without Kafka, Faust waits for ever to say goodbye. What was folded is in the views, so an end by force loses
    nothing."""

    def give_up() -> None:
        logger.warning("ended without a goodbye: not everything was closed within %.0f s", END_S)
        logging.shutdown()
        os._exit(status)

    last = Timer(END_S, give_up)
    last.daemon = True
    last.start()


async def _work(
    settings: Settings,
    listener: socket.socket,
    descriptors: int,
    on_ready: Callable[[str], object],
    ended: asyncio.Event,
) -> None:
    async with working(settings) as parts:
        worker, health = parts.worker, parts.health
        metrics = CollectorRegistry()
        beat = Heartbeat(health)
        tell(metrics, [*parts.collectors, ProcessMetrics(health, beat, settings.node or "")])
        app = status_app(health, lambda: worker.is_healthy, metrics)
        never_look_at_these()
        server = _Beside(
            uvicorn.Config(
                app,
                http=connection_class(crowd_for(settings, descriptors)),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                loop="none",
                proxy_headers=False,
            )
        )
        answering = asyncio.create_task(server.serve([listener]), name="status")
        beating = asyncio.create_task(beat.run(), name="heartbeat")
        try:
            on_ready(url_of(listener))
            await _together({"worker": worker.run, **parts.work})
        finally:
            health.draining = True
            server.should_exit = True
            beating.cancel()
            await asyncio.wait([answering, beating])
    logger.info("handed over")


async def _together(works: Mapping[str, Work]) -> None:
    """Run all of them until one ends, which is never a good end, or until cancelled."""
    tasks = [asyncio.create_task(work(), name=name) for name, work in works.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


class _Beside(uvicorn.Server):
    """uvicorn in a process that looks after signals itself."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
