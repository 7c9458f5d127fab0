"""HTTP connections with bounds: uvicorn's protocol, which has none for heads, pipelines, slow clients and addresses.

A client may be slow, may keep a connection open and may send requests ahead, but only so much of each: what a
connection holds in memory and for how long it may hold it are bounded from its first byte to its last.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import PROBLEM_TYPE
from api.ratelimit import address_key

HEAD_SLICE, BODY_SLICE = 4 * 1024, 16 * 1024
"""How much is parsed before the bounds are looked at again."""
LINGER_S = 2.0
"""For how long a request may still come whose answer was sent before all of it was there."""
SPARE = 128
"""Descriptors kept for files, databases and the like."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one connection; all times in seconds."""

    head_bytes: int = 64 * 1024
    url_bytes: int = 16 * 1024
    headers: int = 128
    head_s: float = 10.0
    """From the first byte of a request, or the connection's start, to the end of the request's headers."""
    stall_s: float = 20.0
    """A body, or an answer on its way, may fall behind `bytes_per_s` by so much."""
    bytes_per_s: int = 1024
    idle_s: float = 5.0
    """Between requests."""
    pipelined: int = 16
    """Requests that wait for the answer to an earlier one. After these the connection is closed."""
    per_address: int = 4096
    """Connections, sockets among them. IPv6 counts by /64."""
    open_at_once: int = 1_000_000
    """Connections of all addresses together."""

    @property
    def look_s(self) -> float:
        """How often a connection is looked at."""
        return min(self.head_s, self.stall_s, LINGER_S) / 4


@dataclass(slots=True)
class Crowd:
    """All connections of a process. `exempt`: proxies, from whose addresses everybody comes."""

    bounds: Bounds
    exempt: Container[str] = ()
    by_address: Counter[str] = field(default_factory=Counter)
    here: dict[Connection, None] = field(default_factory=dict)
    """Those that speak HTTP, the oldest first."""
    open: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Reason → connections that were ended for it."""

    def enter(self, host: str) -> str | None:
        """The key under which a new connection counts; None if its address has too many."""
        key = "" if host in self.exempt else address_key(host)
        if key and self.by_address[key] >= self.bounds.per_address:
            return None
        self.open += 1
        if key:
            self.by_address[key] += 1
        return key

    def leave(self, key: str) -> None:
        self.open -= 1
        if key:
            self.by_address[key] -= 1
            if self.by_address[key] <= 0:
                del self.by_address[key]

    def make_room(self) -> None:
        """Where all descriptors are taken, end some that wait for a request, the oldest first."""
        if self.open <= self.bounds.open_at_once:
            return
        wanted = max(1, self.bounds.open_at_once // 64)
        for one in [one for one in self.here if one.is_waiting][:wanted]:
            one.end("no_room")


class Phase(Enum):
    IDLE = 0
    """Nothing of a request is here."""
    HEAD = 1
    BODY = 2


class Connection(HttpToolsProtocol):
    """`crowd` is set by `connection_class`."""

    crowd: Crowd

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bounds = self.crowd.bounds
        self.timeout_keep_alive = self._bounds.idle_s  # type: ignore[assignment]  # uvicorn says int, and takes any
        self._key: str | None = None
        self._phase = Phase.HEAD
        self._began = 0.0
        self._size = 0
        """Bytes of the head, or of the body, that is coming in."""
        self._is_over = False
        """No more requests are read: what comes is discarded."""
        self._answered_at: float | None = None
        self._stuck: tuple[float, int] | None = None
        """Since when nothing more could be written, and what the client had by then."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is being answered or read."""
        return self._phase is not Phase.BODY and not self._is_answering

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # --- What the loop calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._key = self.crowd.enter(self.client[0] if self.client else "")
        self._began = self.loop.time()
        if self._key is None:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "too many connections from this address")
            self.crowd.ended["too_many"] += 1
            return
        self.crowd.here[self] = None
        self._timer = self.loop.call_later(self._bounds.look_s, self._look)
        self.crowd.make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        self._unset_keepalive_if_required()
        self.crowd.here.pop(self, None)
        if self._key is not None:
            self.crowd.leave(self._key)
            self._key = None
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._is_over or self.transport.is_closing():
            return
        if self._phase is Phase.IDLE:
            self._phase, self._began, self._size = Phase.HEAD, self.loop.time(), 0
        rest = memoryview(data)
        while rest and not self._is_over and self.parser is not None:
            in_head = self._phase is not Phase.BODY
            room = self._bounds.head_bytes - self._size + 1 if self._phase is Phase.HEAD else HEAD_SLICE
            size = min(len(rest), max(1, min(room, HEAD_SLICE)) if in_head else BODY_SLICE)
            if not self._parse(rest[:size]):
                return
            rest = rest[size:]

    def _parse(self, piece: memoryview) -> bool:
        """Feed the parser. False if nothing more is to be fed."""
        was = self._phase
        self._size += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            if not self._should_upgrade():
                return True
            if self.cycle is not None and (self.pipeline or not self.cycle.response_complete):
                self._refuse(HTTPStatus.BAD_REQUEST, "invalid", "an upgrade must not be sent ahead of an answer")
            else:
                self.handle_websocket_upgrade()
            return False
        except httptools.HttpParserError:
            logger.debug("a client sent no HTTP")
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid", "this is not HTTP")
            return False
        if self._phase is Phase.HEAD and was is Phase.HEAD and self._size > self._bounds.head_bytes:
            self._too_large(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large")
        return not self._is_over

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on, and its place in the crowd with it."""
        self._forget_timer()
        self.crowd.here.pop(self, None)
        key, self._key = self._key, None
        maker = self.ws_protocol_class

        def make(**options: Any) -> asyncio.Protocol:
            made: Any = maker(**options)  # type: ignore[misc]
            made.place = self.crowd, key
            return made  # type: ignore[no-any-return]

        self.ws_protocol_class = make  # type: ignore[assignment]
        super().handle_websocket_upgrade()
        self._is_over = True

    # --- What the parser calls ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase is not Phase.HEAD:
            self._phase, self._began, self._size = Phase.HEAD, self.loop.time(), 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._bounds.url_bytes:
            self._too_large(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_over:
            return
        super().on_header(name, value)
        if len(self.headers) > self._bounds.headers:
            self._too_large(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers")

    def on_headers_complete(self) -> None:
        self._phase, self._began, self._size = Phase.BODY, self.loop.time(), 0
        if self._is_over:
            return
        if len(self.pipeline) >= self._bounds.pipelined:
            self.crowd.ended["pipeline"] += 1
            self._stop_reading()
            self.pipeline[0][0].keep_alive = False  # the newest: once it is answered the connection ends
            return
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid", "the request's target is not an address")
            return
        self._answered_at = None

    def on_body(self, body: bytes) -> None:
        if not self._is_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = Phase.IDLE
        if not self._is_over:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._answered_at = self.loop.time()

    # --- Bounds -----------------------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Close at once, without an answer."""
        self.crowd.ended[reason] += 1
        self._stop_reading()
        self.transport.abort()

    def _look(self) -> None:
        """Now and then: whether the client takes too long."""
        now = self.loop.time()
        self._timer = self.loop.call_later(self._bounds.look_s, self._look)
        if self._is_stuck(now):
            self.end("not_reading")
        elif self.transport.is_closing() or self._is_over:
            return
        elif self._phase is Phase.HEAD and not self._is_answering and now > self._began + self._bounds.head_s:
            self.crowd.ended["slow_head"] += 1
            if self._size:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the headers took too long")
            else:
                self._stop_reading()
                self.transport.close()
        elif self._phase is Phase.BODY and not self.flow.read_paused:
            self._look_at_body(now)

    def _look_at_body(self, now: float) -> None:
        if self._answered_at is not None and now > self._answered_at + LINGER_S and not self._is_answering:
            self._stop_reading()
            self.transport.close()
        elif now > self._began + self._bounds.stall_s + self._size / self._bounds.bytes_per_s:
            self.crowd.ended["slow_body"] += 1
            if self.pipeline or self.cycle is None or self.cycle.response_started:
                self._stop_reading()
                self.transport.close()
            else:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body took too long")
                self.cycle.disconnected = True
                self.cycle.message_event.set()

    def _is_stuck(self, now: float) -> bool:
        """Whether an answer has been waiting for `stall_s`, and the client took hardly any of it."""
        if not self.transport.get_write_buffer_size():
            self._stuck = None
            return False
        taken = self._taken()
        if self._stuck is None:
            self._stuck = now, taken
            return False
        since, before = self._stuck
        if now < since + self._bounds.stall_s:
            return False
        self._stuck = now, taken
        return taken - before < self._bounds.bytes_per_s * (now - since) / 4

    def _taken(self) -> int:
        """Bytes that the client has acknowledged: what our buffer gave to the kernel may lie there for minutes."""
        link = self.transport.get_extra_info("socket")
        try:
            told = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
            return int(struct.unpack_from("=Q", told, 120)[0])  # tcpi_bytes_acked, since Linux 4.1
        except (AttributeError, OSError, struct.error):
            return -self.transport.get_write_buffer_size() * self._bounds.bytes_per_s  # any progress will do

    def _too_large(self, status: HTTPStatus, detail: str) -> None:
        if not self._is_over:
            self.crowd.ended["large_head"] += 1
            self._refuse(status, "too_large", detail)

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answer a request that never got as far as the app, unless an answer is on its way, and close."""
        self._stop_reading()
        if not (self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete):
            self.transport.write(refusal(status, code, detail))
        self.pipeline.clear()
        self.transport.close()

    def _stop_reading(self) -> None:
        self._is_over = True

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def refusal(status: HTTPStatus, code: str, detail: str) -> bytes:
    """A whole answer with a problem document, after which the connection ends."""
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
    }
    body = json.dumps(problem).encode()
    headers: Mapping[str, object] = {
        "content-type": PROBLEM_TYPE,
        "content-length": len(body),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "connection": "close",
        **({"retry-after": 5} if status is HTTPStatus.TOO_MANY_REQUESTS else {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[status] + head.encode() + b"\r\n" + body


def connection_class(crowd: Crowd) -> type[Connection]:
    """What uvicorn makes a protocol of for each connection."""
    return type("Connection", (Connection,), {"crowd": crowd})


def counted(protocol: type[asyncio.BaseProtocol]) -> type[asyncio.BaseProtocol]:
    """A protocol for upgrades whose connections keep their place in the crowd until they end."""

    class Counted(protocol):  # type: ignore[misc, valid-type]
        __slots__ = ("place",)

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.place: tuple[Crowd, str | None] | None = None
            super().__init__(*arguments, **options)

        def connection_lost(self, exc: Exception | None) -> None:
            place, self.place = self.place, None
            if place is not None and place[1] is not None:
                place[0].leave(place[1])
            super().connection_lost(exc)

    return Counted
