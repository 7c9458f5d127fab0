"""`tidings serve`: the server in the foreground, its address on stdout, its log on stderr."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager

from infra.app import App
from infra.cli.faults import Fault
from infra.demo import demo_url
from infra.logs import log_to_stderr
from infra.serve import PortTaken
from infra.serve import serve as run_server
from infra.settings import Settings
from infra.tracing.setup import trace_ids

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(settings: Settings, demo: bool, open_browser: bool) -> None:
    """Serve until SIGTERM or SIGINT. Raises Fault, and what the server raises."""
    if settings.kafka:
        raise Fault(
            "TIDINGS_KAFKA names a cluster, and tidings serve needs none",
            "start tidings gateway and tidings worker, or unset TIDINGS_KAFKA",
            2,
        )
    if demo and settings.host not in LOOPBACK:
        raise Fault(
            f"--demo signs in whoever has the address, so it does not listen on {settings.host}",
            "leave --demo out, or take --host 127.0.0.1",
            2,
        )
    _log(settings)

    async def announce(app: App, url: str) -> None:
        address = await demo_url(app, url) if demo else url
        print(address, flush=True)
        if open_browser and has_display():
            await asyncio.to_thread(webbrowser.open, address)

    with _port_free():
        run_server(settings, demo=demo, on_ready=announce)


def gateway(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises Fault, and what the server raises."""
    with _cluster_drivers():
        from infra.wanted import for_gateway

        for_gateway(settings)
        _log(settings)

        async def announce(app: App, url: str) -> None:
            print(url, flush=True)

        with _port_free():
            run_server(settings, on_ready=announce)


def worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises Fault, and what the worker raises."""
    with _cluster_drivers():
        from infra.serve_worker import serve_worker
        from infra.wanted import for_worker

        for_worker(settings)
        _log(settings)
        with _port_free():
            serve_worker(settings, lambda url: print(url, flush=True))


def _log(settings: Settings) -> None:
    log_to_stderr(settings.log_level, settings.log_format, settings.node, trace_ids(settings))


@contextmanager
def _port_free() -> Iterator[None]:
    try:
        yield
    except PortTaken as error:
        raise Fault(str(error), "choose another port with --port, 0 for any free one") from error


@contextmanager
def _cluster_drivers() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise Fault(f"{error.name} is not installed", "pip install 'tidings[cluster]'") from error


def has_display() -> bool:
    """Whether a browser can show something: a terminal's own browser would take the terminal."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
