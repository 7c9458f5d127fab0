"""The measuring client's sockets: picows and msgspec, because a costly client measures itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.kit.people import Person

_CONNECT_S = 30.0
_TEXT, _PING, _CLOSE = WSMsgType.TEXT, WSMsgType.PING, WSMsgType.CLOSE


class _Data(msgspec.Struct, gc=False):
    message_id: str = ""


class _Event(msgspec.Struct, gc=False):
    data: _Data


class Ack(msgspec.Struct, gc=False, tag_field="type", tag="ack"):
    reply_to: str


class Event(msgspec.Struct, gc=False, tag_field="type", tag="event"):
    seq: int
    event: _Event


class Connected(msgspec.Struct, gc=False, tag_field="type", tag="connected"):
    chats: dict[str, dict[str, int]]


class Receipt(msgspec.Struct, gc=False, tag_field="type", tag="receipt"):
    """Nobody sends marks here, but a gateway that loads a chat anew may tell those that sending moved."""


_decoder: msgspec.json.Decoder[Ack | Event | Connected | Receipt] = msgspec.json.Decoder(
    Ack | Event | Connected | Receipt
)


class Trouble(Exception):
    """The server closed a socket, or sent what no benchmark asked for."""


class Receiver:
    """What a socket tells its owner. `number` is the socket's own."""

    def on_ack(self, reply_to: str) -> None: ...

    def on_event(self, number: int, seq: int, message_id: str) -> None: ...

    def on_trouble(self, what: str) -> None: ...

    def ignores(self, frame: bytes) -> bool:
        """Whether a frame that is neither an ack nor an event may come."""
        return False


class Socket(WSListener):
    """One user's connection. Feeds a Receiver; `head_seq` is the chat's when it connected."""

    def __init__(self, number: int, chat_id: str, receiver: Receiver) -> None:
        self.number = number
        self.head_seq = 0
        self._chat_id = chat_id
        self._receiver = receiver
        self._transport: WSTransport | None = None
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False

    @classmethod
    async def open(cls, url: str, number: int, person: Person, chat_id: str, receiver: Receiver) -> Socket:
        """Connect and wait for `connected`. Raises Trouble, TimeoutError."""
        made: list[Socket] = []

        def make() -> Socket:
            made.append(cls(number, chat_id, receiver))
            return made[0]

        transport, _ = await ws_connect(
            make,
            f"{url}?u={person.user_id}",
            extra_headers={"Sec-WebSocket-Protocol": "chat.v1"},
            read_buffer_init_size=4096,
        )
        if transport.is_disconnected:  # during the handshake, which picows tells nobody
            raise Trouble("the server hung up during the handshake")
        socket = made[0]
        socket._transport = transport
        hello: dict[str, Any] = {"type": "connect", "id": "c", "token": person.token}
        socket.send(msgspec.json.encode(hello))
        await asyncio.wait_for(socket._connected, _CONNECT_S)
        return socket

    def send(self, frame: bytes) -> None:
        """Never waits: what the kernel does not take stays in this process."""
        if self._transport is not None:
            self._transport.send(_TEXT, frame)

    async def close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.send_close()
            self._transport.disconnect()
            await self._transport.wait_disconnected()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is not _TEXT:
            if kind is _CLOSE and not self._closing:
                self._fail(f"close {int.from_bytes(frame.get_payload_as_bytes()[:2], 'big')}")
            return
        try:
            message = _decoder.decode(frame.get_payload_as_memoryview())
        except msgspec.ValidationError:
            # Presence and typing are not asked for; anything else would spoil the figures.
            if not self._receiver.ignores(frame.get_payload_as_bytes()):
                self._fail(frame.get_payload_as_utf8_text()[:300])
            return
        if type(message) is Event:
            self._receiver.on_event(self.number, message.seq, message.event.data.message_id)
        elif type(message) is Ack:
            self._receiver.on_ack(message.reply_to)
        elif type(message) is Connected:
            self.head_seq = message.chats[self._chat_id]["head_seq"]
            self._connected.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._closing:
            self._fail("disconnected")

    def _fail(self, what: str) -> None:
        if self._connected.done():
            self._receiver.on_trouble(f"socket {self.number}: {what}")
        else:
            self._connected.set_exception(Trouble(what))


async def open_all(
    url: str, wanted: list[tuple[int, Person, str]], receiver: Receiver, advanced: Callable[[], None]
) -> list[Socket]:
    """Open a socket for each (number, person, chat), some at a time. Raises what `Socket.open` raises."""
    turns = asyncio.Semaphore(32)

    async def one(number: int, person: Person, chat_id: str) -> Socket:
        async with turns:
            socket = await Socket.open(url, number, person, chat_id, receiver)
            advanced()
            return socket

    return list(await asyncio.gather(*(one(*each) for each in wanted)))
