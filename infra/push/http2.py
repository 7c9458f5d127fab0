"""One HTTP/2 connection that carries many small requests at once.

Requests of one moment leave in one write, and none has a task of its own. Its costs are in ADR 0036.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from infra.push.frames import (
    MAX_FRAME,
    PREFACE,
    WINDOW,
    Blocks,
    Code,
    Fields,
    Flag,
    Frames,
    FramingError,
    Kind,
    Setting,
    frame,
    number,
    number_of,
    request,
    settings,
    settings_of,
    stream_of,
    unpadded,
)

logger = logging.getLogger(__name__)

MAX_STREAMS = 500
"""Under way at once, if the server allows as many."""
MAX_REQUESTS = 1_000_000
"""Of one connection, whose numbers for streams end somewhere."""
CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class NotSent(Exception):
    """The connection ended before the server looked at the request: send it anew."""


class Broken(Exception):
    """The connection, or this request, ended without an answer: nobody knows what became of it."""


@dataclass(slots=True)
class _Exchange:
    answer: asyncio.Future[Answer]
    began_at: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


_Waiting = tuple[str, Fields, Fields, bytes, asyncio.Future[Answer]]


class Http2Line(asyncio.Protocol):
    """Made by `open`. Lives on one event loop."""

    def __init__(self, authority: str, answer_s: float) -> None:
        """`answer_s`: how long the server may take for one request, once that has been sent."""
        self._authority = authority
        self._answer_s = answer_s
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._blocks = Blocks()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[_Waiting] = deque()
        self._open: dict[int, _Exchange] = {}
        self._sent = 0
        self._streams = 1
        """As many as the server allows at once, once it has said so."""
        self._window = WINDOW
        """Bytes of bodies that the server takes on the connection …"""
        self._own_window = WINDOW
        """… and for one request."""
        self._received = 0
        """Bytes of answers that the server has not been told to send more for."""
        self._flush: asyncio.Handle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self.is_usable = True
        """Whether it takes new requests."""

    @staticmethod
    async def open(url: str, tls: ssl.SSLContext, answer_s: float) -> Http2Line:
        """Connect to an `https://` address. Raises Broken."""
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, line = await asyncio.get_running_loop().create_connection(
                    lambda: Http2Line(parts.netloc, answer_s), parts.hostname or "", parts.port or 443, ssl=tls
                )
        except OSError as error:
            raise Broken(f"cannot connect to {parts.netloc}: {error}") from error
        spoken = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if spoken != "h2":
            transport.close()
            raise Broken(f"{parts.netloc} does not speak HTTP/2")
        return line

    def post(self, path: str, shared: Fields, own: Fields, body: bytes) -> asyncio.Future[Answer]:
        """`shared`: headers that other requests have too, `own`: those of this one. Headers and body have 16 KiB each
        at most. The answer may be NotSent or Broken.
        """
        answer: asyncio.Future[Answer] = self._loop.create_future()
        if not self.is_usable:
            answer.set_exception(NotSent("the connection takes no more requests"))
            return answer
        self._waiting.append((path, shared, own, body, answer))
        if self._flush is None:
            self._flush = self._loop.call_soon(self._flush_now)
        return answer

    def close(self, code: Code = Code.NO_ERROR) -> None:
        self._fail(NotSent("the connection was closed"), Broken("the connection was closed"))
        if self._transport is not None:
            self._out.append(frame(Kind.GOAWAY, 0, 0, number(0) + number(code)))
            self._write()
            self._transport.close()

    # --- the protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._heard_at = self._loop.time()
        self._look = self._loop.call_later(self._answer_s / 4, self._look_for_late)
        self._out += (PREFACE, frame(Kind.SETTINGS, 0, 0, settings([(Setting.ENABLE_PUSH, 0)])))
        self._write()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            for kind, flags, stream, payload in self._frames.feed(data):
                self._handle(kind, flags, stream, payload)
        except FramingError as error:
            logger.warning("%s breaks HTTP/2: %s", self._authority, error)
            self.close(Code.PROTOCOL_ERROR)
            return
        self._start()
        self._write()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        said = f"{self._authority} ended the connection"
        self._fail(NotSent(said), Broken(f"{said}: {error}" if error else said))

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Raises FramingError."""
        match kind:
            case Kind.HEADERS:
                self._on_headers(stream, self._blocks.decode(payload))
            case Kind.DATA:
                self._on_data(flags, stream, payload)
            case Kind.RST_STREAM:
                self._on_reset(stream, number_of(payload))
            case Kind.SETTINGS if not flags & Flag.ACK:
                self._on_settings(settings_of(payload))
            case Kind.PING if not flags & Flag.ACK:
                self._out.append(frame(Kind.PING, Flag.ACK, 0, payload))
            case Kind.GOAWAY:
                self._on_goaway(stream_of(payload))
            case Kind.WINDOW_UPDATE if stream == 0:
                self._window += stream_of(payload)
            case Kind.PUSH_PROMISE | Kind.CONTINUATION:
                raise FramingError(f"a frame of kind {kind} that nobody asked for")
            case _:
                return  # of no matter to us, or of a kind that may come one day
        if flags & Flag.END_STREAM and kind <= Kind.HEADERS and stream in self._open:
            self._on_end(stream)

    def _on_headers(self, stream: int, told: dict[str, str]) -> None:
        exchange = self._open.get(stream)
        if exchange is not None and exchange.status < 200:  # what comes after the body is of no interest
            status = told.pop(":status", "")
            if not status.isdecimal():
                raise FramingError("an answer without a status")
            exchange.status, exchange.headers = int(status), told

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > WINDOW // 2:
            self._out.append(frame(Kind.WINDOW_UPDATE, 0, 0, number(self._received)))
            self._received = 0
        if stream in self._open:
            # No stream is given a larger window, so that an answer is not larger than it.
            self._open[stream].body += unpadded(flags, payload)

    def _on_end(self, stream: int) -> None:
        exchange = self._open[stream]
        if exchange.status < 200:
            raise FramingError("an answer without a status")
        del self._open[stream]
        if not exchange.answer.done():
            exchange.answer.set_result(Answer(exchange.status, exchange.headers, exchange.body))

    def _on_reset(self, stream: int, code: int) -> None:
        if exchange := self._open.pop(stream, None):
            said = f"{self._authority} reset the request: {code}"
            _fail_one(exchange.answer, NotSent(said) if code == Code.REFUSED_STREAM else Broken(said))

    def _on_settings(self, told: dict[int, int]) -> None:
        if Setting.HEADER_TABLE_SIZE in told:
            self._blocks.resize(told[Setting.HEADER_TABLE_SIZE])
        if self._streams == 1 or Setting.MAX_CONCURRENT_STREAMS in told:
            self._streams = min(MAX_STREAMS, told.get(Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS))
        self._own_window = told.get(Setting.INITIAL_WINDOW_SIZE, self._own_window)
        self._out.append(frame(Kind.SETTINGS, Flag.ACK, 0, b""))

    def _on_goaway(self, last: int) -> None:
        """Streams up to `last` go on to their end; the others were not looked at."""
        self.is_usable = False
        for stream in [stream for stream in self._open if stream > last]:
            _fail_one(self._open.pop(stream).answer, NotSent(f"{self._authority} goes away"))
        while self._waiting:
            _fail_one(self._waiting.popleft()[-1], NotSent(f"{self._authority} goes away"))

    def _look_for_late(self) -> None:
        """Give up requests that had no answer for too long; and the connection, if nothing came at all."""
        self._look = self._loop.call_later(self._answer_s / 4, self._look_for_late)
        since = self._loop.time() - self._answer_s
        late = [stream for stream, exchange in self._open.items() if exchange.began_at < since]
        if late and self._heard_at < since:
            logger.warning("%s says nothing any more", self._authority)
            self.close()
            return
        for stream in late:
            self._out.append(frame(Kind.RST_STREAM, 0, stream, number(Code.CANCEL)))
            _fail_one(self._open.pop(stream).answer, Broken(f"no answer within {self._answer_s:.0f} s"))
        self._start()
        self._write()

    def _flush_now(self) -> None:
        self._flush = None
        self._start()
        self._write()

    def _start(self) -> None:
        """Begin what waits, as far as the server's limits allow."""
        now = self._loop.time()
        while self.is_usable and self._waiting and len(self._open) < self._streams:
            path, shared, own, body, answer = self._waiting[0]
            if not answer.done():
                if len(body) > min(self._window, self._own_window, MAX_FRAME):
                    return
                pseudo = ((":method", "POST"), (":scheme", "https"), (":authority", self._authority))
                stream = 2 * self._sent + 1
                try:
                    self._out.append(request(stream, self._blocks.encode(path, pseudo + shared, own), body))
                except Exception as error:
                    # What both sides remember of headers may differ from here on.
                    self.is_usable = False
                    _fail_one(answer, error)
                    while self._waiting:
                        _fail_one(self._waiting.popleft()[-1], NotSent("the connection is not used any more"))
                    return
                self._window -= len(body)
                self._open[stream] = _Exchange(answer, now)
                self._sent += 1
            self._waiting.popleft()
            if self._sent == MAX_REQUESTS:
                self.is_usable = False
                while self._waiting:
                    _fail_one(self._waiting.popleft()[-1], NotSent("the connection is used up"))

    def _write(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _fail(self, waiting: NotSent, under_way: Broken) -> None:
        self.is_usable = False
        if self._look is not None:
            self._look.cancel()
        while self._waiting:
            _fail_one(self._waiting.popleft()[-1], waiting)
        for exchange in self._open.values():
            _fail_one(exchange.answer, under_way)
        self._open.clear()


def _fail_one(answer: asyncio.Future[Answer], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
