"""Sockets by picows, inside uvicorn, on the port that serves HTTP.

uvicorn hands a connection over when it asks for an upgrade. From there on bytes go straight from the loop to
picows and, frame by frame, to the session; what a session says is written through the loop's own transport,
because frames come with their headers already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, cast

import msgspec
from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not public: the version is pinned

from api.errors import PROBLEM_TYPE
from api.origins import may_call
from api.ws.gateway import Gateway
from api.ws.limits import LOST
from api.ws.outbox import Flusher, Outbox
from api.ws.session import Session
from api.ws.wire import PING, close_frame, pong_frame
from commands.timers import Cancellable

log = logging.getLogger(__name__)

PATH = b"/v1/ws"
SUBPROTOCOL = "chat.v1"
MAX_FRAME = 256 * 1024
CLOSE_S = 10.0
"""How long a close frame has to drain and to be answered."""
LINGER_S = 2.0
"""How long a client that broke the protocol may go on sending before it is cut off; cut off at once, it might
never read why."""
READ_BUFFER = 2_048
MAX_HEAD = 16_000

NO_CODE = 1005
PROTOCOL_ERROR = 1002
TOO_BIG = 1009


class Socket(WSListener):
    """One connection: a session's link, and the listener that feeds the session."""

    __slots__ = ("_closing", "_flusher", "_gateway", "_outbox", "_parts", "_session", "_size", "_transport")

    def __init__(self, gateway: Gateway, flusher: Flusher) -> None:
        self._gateway = gateway
        self._flusher = flusher
        self._transport: asyncio.Transport
        self._outbox: Outbox
        self._session: Session
        self._parts: list[bytes] | None = None
        """A text message of which the last fragment has not come yet."""
        self._size = 0
        self._closing: Cancellable | None = None

    # --- What picows calls ----------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = cast(_Lingering, transport.underlying_transport).real
        transport.request.headers.clear()  # they would be kept as long as the connection lives
        transport.response.headers.clear()
        self._outbox = Outbox(self._transport, self._flusher, self._overflowed)
        self._session = self._gateway.accept(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.TEXT and frame.fin and self._parts is None:
            self._session.received(frame.get_payload_as_bytes())
        else:
            self._unusual(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._outbox.abandon()
        self._session.closed(LOST)

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    # --- What the session calls ------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        self._outbox.send(frame)

    def ping(self) -> None:
        self._outbox.send(PING)

    def close(self, code: int, reason: str, *, drop: bool = False) -> None:
        if self._closing is None:
            self._outbox.finish(close_frame(code, reason), drop=drop)
            self._closing = self._gateway.timers.call_later(CLOSE_S, self._transport.abort)

    @property
    def is_blocked(self) -> bool:
        return self._outbox.is_blocked

    async def drained(self) -> None:
        await self._outbox.drained()

    def send_away(self) -> None:
        """The process is about to end."""
        self._session.leave("the server restarts")

    # --- Inside ----------------------------------------------------------------------------------------------

    def _overflowed(self) -> None:
        self._session.overflowed()

    def _unusual(self, kind: WSMsgType, frame: WSFrame) -> None:
        match kind:
            case WSMsgType.TEXT | WSMsgType.CONTINUATION:
                self._fragment(kind, frame)
            case WSMsgType.BINARY:
                self._session.received_binary()
            case WSMsgType.PING:
                self._outbox.send(pong_frame(frame.get_payload_as_bytes()))
                self._session.heard()
            case WSMsgType.PONG:
                self._session.heard()
            case WSMsgType.CLOSE:
                self._close_frame(int.from_bytes(frame.get_payload_as_bytes()[:2], "big"))

    def _fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is WSMsgType.TEXT) != (self._parts is None):
            self._session.close(PROTOCOL_ERROR, "fragments out of order")
            return
        if self._parts is None:
            self._parts, self._size = [], 0
        self._parts.append(frame.get_payload_as_bytes())
        self._size += frame.payload_size
        if self._size > MAX_FRAME:
            self._parts = None
            self._session.close(TOO_BIG, "the message is too big")
        elif frame.fin:
            whole, self._parts = b"".join(self._parts), None
            self._session.received(whole)

    def _close_frame(self, code: int) -> None:
        """The client says goodbye, first or in answer: the close is answered once, then the connection ends."""
        self._session.closed(code or NO_CODE)
        self.close(code, "", drop=self.is_blocked)
        self._transport.close()


class _Lingering:
    """The loop's transport as picows gets it. Picows closes it when a client breaks the protocol, a moment after
    its close frame; a socket closed while the client still sends is reset, and the client may never read why. So
    what it sends is discarded until it ends, or for 2 s.
    """

    __slots__ = ("_protocol", "real")

    def __init__(self, real: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
        self.real = real
        self._protocol = protocol

    def get_extra_info(self, name: str) -> Any:
        return self.real.get_extra_info(name)

    def get_write_buffer_size(self) -> int:
        return self.real.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        self.real.write(data)

    def abort(self) -> None:
        self.real.abort()

    def close(self) -> None:
        if self.real.get_protocol() is self._protocol and not self.real.is_closing():
            self.real.set_protocol(_Drain(self.real, self._protocol))
            self.real.write_eof()
        else:
            self.real.close()  # uvicorn's still: the upgrade was refused


class _Drain(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, before: asyncio.BaseProtocol) -> None:
        self._before = before
        self._end = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Discard it."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._before.connection_lost(exc)


class _Log:
    """picows' log as we want it: what clients do wrong is not our error, and no logger for each connection."""

    name = __name__

    def isEnabledFor(self, level: int) -> bool:
        return False

    def log(self, level: int, message: str, *args: object) -> None:
        pass

    debug = info = warning = error = staticmethod(lambda message, *args: log.debug(message, *args))

    def exception(self, message: str, *args: object) -> None:
        log.exception(message, *args)


_QUIET = _Log()


def protocol_class(gateway: Gateway, allowed_origins: Collection[str] = ()) -> type[asyncio.BaseProtocol]:
    """What uvicorn makes a protocol of for each upgrade. `allowed_origins`: pages that may call besides ours."""
    flusher = Flusher(asyncio.get_running_loop().call_soon, gateway.counters)

    def listener(request: WSUpgradeRequest) -> Any:
        path, _, _ = request.path.partition(b"?")
        headers = request.headers
        if path != PATH:
            return _refusal(HTTPStatus.NOT_FOUND, "not_found", "there is no socket here")
        if not may_call(headers.get("origin"), headers.get("host"), allowed_origins):
            return _refusal(HTTPStatus.FORBIDDEN, "forbidden", "this page may not call this server")
        if SUBPROTOCOL not in _tokens(headers.get("sec-websocket-protocol", "")):
            return _refusal(HTTPStatus.BAD_REQUEST, "invalid", f"the subprotocol must be {SUBPROTOCOL}")
        if gateway.draining:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "the server is going away")
        if "upgrade" in _tokens(headers.get("connection", "").lower()):
            headers["connection"] = "upgrade"  # picows takes no other value, but Firefox adds keep-alive
        response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": SUBPROTOCOL})
        return WSUpgradeResponseWithListener(response, Socket(gateway, flusher))

    class Protocol(WSProtocol):  # type: ignore[misc]
        __slots__ = ("_connections", "_socket")

        def __init__(self, config: Any, server_state: Any, app_state: Any) -> None:
            # Client-side arguments, listener factory, logger, disconnect on exceptions, no handshake timeout (the
            # request is here already), no automatic pings or pongs (the session's business), frame and buffer size.
            super().__init__(
                None, None, False, listener, _QUIET, True, None, False, 1.0, 1.0,
                WSAutoPingStrategy.PING_WHEN_IDLE, False, MAX_FRAME, None, READ_BUFFER,
            )  # fmt: skip
            self._connections = server_state.connections
            self._socket: asyncio.Transport

        def connection_made(self, transport: asyncio.Transport) -> None:
            self._socket = transport
            self._connections.add(self)
            super().connection_made(_Lingering(transport, self))

        def data_received(self, head: bytes) -> None:
            """Called once by uvicorn, with the request; afterwards the loop fills picows' buffer itself."""
            if len(head) > MAX_HEAD:
                self._socket.abort()
                return
            view = memoryview(head)
            while view:
                buffer = self.get_buffer(-1)
                size = min(len(buffer), len(view))
                buffer[:size] = view[:size]
                view = view[size:]
                self.buffer_updated(size)

        def connection_lost(self, exc: Exception | None) -> None:
            self._connections.discard(self)
            super().connection_lost(exc)

        def shutdown(self) -> None:
            """uvicorn is shutting down."""
            if isinstance(self.listener, Socket):
                self.listener.send_away()
            else:
                self._socket.close()

    return Protocol


def _tokens(header: str) -> list[str]:
    return [token.strip() for token in header.split(",")]


def _refusal(status: HTTPStatus, code: str, detail: str) -> WSUpgradeResponseWithListener:
    problem = {"type": f"/problems/{code}", "title": status.phrase, "status": status, "code": code, "detail": detail}
    response = WSUpgradeResponse.create_error_response(
        status, msgspec.json.encode(problem), {"Content-Type": PROBLEM_TYPE}
    )
    return WSUpgradeResponseWithListener(response, None)
