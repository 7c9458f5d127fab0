"""The server process: uvicorn on one port, HTTP by FastAPI, sockets by picows, on uvloop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import cast

import uvicorn
import uvloop

from api.http import chat_routes
from api.http.app import create_app
from api.http.chat_schemas import schema_components
from api.ws.transport import protocol_class
from infra.app import App, running
from infra.cycles import look_seldom, never_look_at_these
from infra.front.connections import SPARE, Bounds, Crowd, connection_class, counted
from infra.front.descriptors import raise_descriptor_limit
from infra.front.proxies import Forwarded, Proxies, parse_proxies
from infra.metrics.collectors import ConnectionMetrics
from infra.settings import Settings

logger = logging.getLogger(__name__)

GRACE_S = 10
"""How long requests and sockets may take to end at shutdown."""


class PortTaken(Exception):
    """Another program listens there."""


OnReady = Callable[[App, str], Awaitable[None]]


def serve(settings: Settings, *, demo: bool = False, on_ready: OnReady | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready(app, url)` is awaited once requests are answered; what it raises
    ends the server.

    Raises PortTaken, and what `infra.app.running` raises.
    """
    # A thread that finishes a commit wants the interpreter back at once, not after the default 5 ms.
    sys.setswitchinterval(0.0005)
    look_seldom()
    descriptors = raise_descriptor_limit()
    listener = listen(settings.host, settings.port)
    try:
        uvloop.run(_serve(settings, demo, listener, descriptors, on_ready))
    finally:
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def crowd_for(settings: Settings, descriptors: int) -> Crowd:
    """The bounds of connections, of a process that may have so many files and connections open."""
    bounds = Bounds(
        head_s=settings.http_head_s,
        stall_s=settings.http_stall_s,
        idle_s=settings.http_idle_s,
        per_address=settings.connections_per_address,
        open_at_once=max(descriptors - SPARE, 1),
    )
    return Crowd(bounds, Proxies(parse_proxies(settings.forwarded_allow_ips)))


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(
    settings: Settings, demo: bool, listener: socket.socket, descriptors: int, on_ready: OnReady | None
) -> None:
    async with running(settings, demo=demo) as app:
        crowd = crowd_for(settings, descriptors)
        app.services.metrics.register(ConnectionMetrics(crowd))
        config = uvicorn.Config(
            Forwarded(
                app.traced.around(create_app(app.services, chat_routes.ROUTERS, schema_components())),
                Proxies(parse_proxies(settings.forwarded_allow_ips)),
            ),
            # Buffered, which uvicorn hands a transport to as well, though its types do not say so.
            ws=cast("type[asyncio.Protocol]", counted(protocol_class(app.gateway, settings.cors_origins))),
            http=connection_class(crowd),
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # `Forwarded` reads them
            timeout_graceful_shutdown=GRACE_S,
        )
        never_look_at_these()
        server = _Server(config, app, listener, on_ready)
        for task in app.background:
            task.add_done_callback(server.stop_because_of)
        await server.serve([listener])
        if server.failure is not None:
            raise server.failure


class _Server(uvicorn.Server):
    """uvicorn, telling when it is up, and the health routes when it goes down."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        listener: socket.socket,
        on_ready: OnReady | None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._listener = listener
        self._on_ready = on_ready
        self.failure: BaseException | None = None

    def stop_because_of(self, task: asyncio.Task[None]) -> None:
        """End the process rather than serve without, say, the fold."""
        if not task.cancelled() and task.exception() is not None:
            logger.critical("%s failed", task.get_name(), exc_info=task.exception())
            self.failure = task.exception()
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        url = url_of(self._listener)
        logger.info("serving on %s", url)
        if self._on_ready is not None:
            await self._on_ready(self._app, url)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """As uvicorn's, but without raising the signal again at the end, which would kill the process before the
        log and the views are closed. A second SIGINT ends at once what still runs."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """First no new clients, and those who are here are sent elsewhere; then no connections."""
        self._app.services.health.draining = True
        self._app.gateway.drain()
        await asyncio.sleep(self._app.settings.drain_s)
        await super().shutdown(sockets)
