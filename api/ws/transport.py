"""Sockets by picows, inside uvicorn, on the port that serves HTTP.

uvicorn hands a connection over when it asks for an upgrade. From there on bytes go straight from the loop to
picows and, frame by frame, to the session; what a session says is written through the loop's own transport,
because frames come with their headers already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
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
from api.ws.limits import FLOODING, LOST, MALFORMED, NOT_UTF8
from api.ws.outbox import Flusher, Outbox
from api.ws.session import Session
from api.ws.wire import PING, close_frame, is_utf8, pong_frame
from commands.timers import Cancellable

log = logging.getLogger(__name__)

PATH = b"/v1/ws"
SUBPROTOCOL = "chat.v1"
VERSION = "13"
"""Of the WebSocket protocol: that of RFC 6455."""
MAX_FRAME = 640 * 1024
"""The longest text of a message, 102,400 bytes, each written as six (`\\u0041`), and what stands around it."""
CLOSE_S = 10.0
"""How long a close frame has to drain and to be answered."""
LINGER_S = 2.0
"""How long a client that harms, or knows no better, has to read why it is closed."""
MAX_DISCARDED = 64 * 1024
"""Bytes that are taken and thrown away after a close; then no more is read."""
MAX_IGNORED = 50
"""Frames that are looked at after a close, for the client's answer to it."""
MAX_FRAGMENTS = 4_096
"""Of one message."""
READ_BUFFER = 2_048
MAX_HEAD = 16_000

NO_CODE = 1005
PROTOCOL_ERROR = 1002
TOO_BIG = 1009
AT_ONCE = frozenset((PROTOCOL_ERROR, NOT_UTF8, TOO_BIG, MALFORMED, FLOODING))
"""After these the connection is cut off soon."""


class Socket(WSListener):
    """One connection: a session's link, and the listener that feeds the session.

    Once it is closing, from either side, nothing more reaches the session.
    """

    __slots__ = (
        "_closing",
        "_flusher",
        "_fragments",
        "_gateway",
        "_is_deaf",
        "_outbox",
        "_parts",
        "_session",
        "_transport",
    )

    def __init__(self, gateway: Gateway, flusher: Flusher) -> None:
        self._gateway = gateway
        self._flusher = flusher
        self._transport: asyncio.Transport
        self._outbox: Outbox
        self._session: Session
        self._parts: bytearray | None = None
        """A text message of which the last fragment has not come yet."""
        self._fragments = 0
        """Of that message; once closing, what came since."""
        self._is_deaf = False
        self._closing: Cancellable | None = None

    # --- What picows calls ----------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        guarded = cast(_Guarded, transport.underlying_transport)
        self._transport = guarded.real
        guarded.upgraded(self)
        transport.request.headers.clear()  # they would be kept as long as the connection lives
        transport.response.headers.clear()
        self._outbox = Outbox(self._transport, self._flusher, self._overflowed, self._broken)
        self._session = self._gateway.accept(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self._closing is not None:
            self._ignore(kind)
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.fail(PROTOCOL_ERROR, "a reserved bit is set")
        elif kind is WSMsgType.TEXT and frame.fin and self._parts is None:
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
        if self._is_deaf:
            self._say_no_more()

    # --- What the session calls ------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        self._outbox.send(frame)

    def ping(self) -> None:
        self._outbox.send(PING)

    def close(self, code: int, reason: str, *, drop: bool = False) -> None:
        if self._closing is None:
            patience_s = LINGER_S if code in AT_ONCE else CLOSE_S
            self._closing = self._gateway.timers.call_later(patience_s, self._transport.abort)
            self._parts, self._fragments = None, 0
            self._outbox.finish(close_frame(code, reason), drop=drop)
            if code in AT_ONCE:
                self._go_deaf()

    @property
    def is_blocked(self) -> bool:
        return self._outbox.is_blocked

    async def drained(self) -> None:
        await self._outbox.drained()

    def send_away(self) -> None:
        """The process is about to end."""
        self._session.leave("the server restarts")

    # --- Inside ----------------------------------------------------------------------------------------------

    def fail(self, code: int, reason: str) -> None:
        """The client broke the protocol: out of every list at once."""
        self._session.close(code, reason)

    def _overflowed(self) -> None:
        self._session.overflowed()

    def _broken(self) -> None:
        self._transport.abort()
        self._session.closed(LOST)

    def _ignore(self, kind: WSMsgType) -> None:
        """After a close: only the answer to it is of interest, and that not for long."""
        self._fragments += 1
        if kind is WSMsgType.CLOSE:
            self._transport.close()
        elif self._fragments == MAX_IGNORED:
            self._go_deaf()

    def _go_deaf(self) -> None:
        """Later: this may be called from within the read that the transport is just carrying out, and while uvicorn is
        still handing the connection over."""
        asyncio.get_running_loop().call_soon(self._hear_no_more)

    def _hear_no_more(self) -> None:
        if not self._transport.is_closing():
            self._is_deaf = True
            self._transport.set_protocol(_Deaf(self._transport, self, self._transport.get_protocol()))
            self._say_no_more()

    def _say_no_more(self) -> None:
        """After the close frame comes the end of the stream, so that the client ends the connection as well."""
        if self._outbox.is_done and not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def _unusual(self, kind: WSMsgType, frame: WSFrame) -> None:
        match kind:
            case WSMsgType.TEXT | WSMsgType.CONTINUATION:
                self._fragment(kind, frame)
            case WSMsgType.BINARY:
                self._session.received_binary()
            case WSMsgType.PING:
                self._session.heard()
                self._outbox.send(pong_frame(frame.get_payload_as_bytes()))
            case WSMsgType.PONG:
                self._session.heard()
            case WSMsgType.CLOSE:
                self._close_frame(frame.get_payload_as_bytes())
            case _:
                self.fail(PROTOCOL_ERROR, "an opcode that nobody has defined")

    def _fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is WSMsgType.TEXT) != (self._parts is None):
            self.fail(PROTOCOL_ERROR, "fragments out of order")
            return
        if self._parts is None:
            self._parts, self._fragments = bytearray(), 0
        self._fragments += 1
        if len(self._parts) + frame.payload_size > MAX_FRAME or self._fragments > MAX_FRAGMENTS:
            self.fail(TOO_BIG, "the message is too big")
            return
        self._parts += frame.get_payload_as_memoryview()
        if frame.fin:
            whole, self._parts = bytes(self._parts), None
            self._session.received(whole)
        else:
            self._session.heard()

    def _close_frame(self, payload: bytes) -> None:
        """The client says goodbye: it is answered, then the connection ends. (An answer to our own goodbye is not even
        read: the client's end of the stream says as much.)"""
        code = int.from_bytes(payload[:2], "big")
        if payload and (len(payload) < 2 or not is_close_code(code)):
            self.fail(PROTOCOL_ERROR, "a close code that must not be sent")
            return
        if not is_utf8(payload[2:]):
            self.fail(NOT_UTF8, "a reason that is not UTF-8")
            return
        self._session.closed(code or NO_CODE)
        self.close(code, "", drop=self.is_blocked)
        self._transport.close()


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry it (RFC 6455, section 7.4, and the codes registered since)."""
    return (1000 <= code <= 1014 and code not in (1004, NO_CODE, LOST)) or 3000 <= code <= 4999


class _Guarded:
    """The loop's transport as picows gets it.

    After the upgrade picows writes one thing only, the close frame of a client that broke the protocol, and closes a
    moment later. Both are the session's business: it must leave every list at once, and what it says goes through the
    outbox. So a write is taken as the news, and the close is ignored.
    """

    __slots__ = ("_socket", "real")

    def __init__(self, real: asyncio.Transport) -> None:
        self.real = real
        self._socket: Socket | None = None

    def upgraded(self, socket: Socket) -> None:
        self._socket = socket

    def get_extra_info(self, name: str) -> Any:
        return self.real.get_extra_info(name)

    def get_write_buffer_size(self) -> int:
        """Never 0: on an idle socket picows would write past this object."""
        return self.real.get_write_buffer_size() or 1

    def write(self, data: bytes) -> None:
        if self._socket is None:
            self.real.write(data)
        else:
            # Later: what was read before it goes to the session first.
            code, reason = int.from_bytes(data[2:4], "big"), data[4:].decode(errors="replace")
            asyncio.get_running_loop().call_soon(self._socket.fail, code, reason)

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def abort(self) -> None:
        self.real.abort()

    def close(self) -> None:
        if self._socket is None:
            self.real.close()  # the upgrade was refused


class _Deaf(asyncio.Protocol):
    """What hears a connection that we have closed: nothing. A socket closed while the client still sends is reset, and
    the client may never read why; so a little is taken and thrown away, and then no more is read.
    """

    def __init__(self, transport: asyncio.Transport, socket: Socket, before: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._socket = socket
        self._before = before
        self._left = MAX_DISCARDED

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._socket.pause_writing()

    def resume_writing(self) -> None:
        self._socket.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
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
        if headers.get("sec-websocket-version") != VERSION:
            return _refusal(
                HTTPStatus.UPGRADE_REQUIRED,
                "invalid",
                f"the version of the protocol must be {VERSION}",
                {"Sec-WebSocket-Version": VERSION},
            )
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
            super().connection_made(_Guarded(transport))

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


def _refusal(
    status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> WSUpgradeResponseWithListener:
    problem = {"type": f"/problems/{code}", "title": status.phrase, "status": status, "code": code, "detail": detail}
    response = WSUpgradeResponse.create_error_response(
        status, msgspec.json.encode(problem), {"Content-Type": PROBLEM_TYPE, **(headers or {})}
    )
    return WSUpgradeResponseWithListener(response, None)
