"""A WebSocket client that also does what no good client does: any opcode, any fragments, any bytes, or nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from tests.support.contract import check_told
from tests.support.server import Server

PATIENCE_S = 20.0

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0

Json = dict[str, Any]


class UpgradeRefused(Exception):
    """The server answered by plain HTTP."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.body = body


class Line:
    """One connection. Every frame that comes is checked against the AsyncAPI document."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = count(1)
        self.headers: dict[str, str] = {}
        self.heard: list[Json] = []
        """Every frame since the connection opened."""

    @classmethod
    async def open(
        cls,
        server: Server,
        *,
        path: str = "/v1/ws",
        subprotocol: str | None = "chat.v1",
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> Line:
        """Raises UpgradeRefused."""
        plug = socket.socket()
        if receive_buffer is not None:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", server.port))
        # The reader takes little in advance: who does not listen must not seem to.
        line = cls(*await asyncio.open_connection(sock=plug, limit=2**14))
        wanted = {
            "Host": f"127.0.0.1:{server.port}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": b64encode(os.urandom(16)).decode(),
            **({} if subprotocol is None else {"Sec-WebSocket-Protocol": subprotocol}),
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
        line.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        await line._read_head()
        return line

    async def _read_head(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if status.split()[1] != "101":
                body = await self._reader.read(int(self.headers.get("content-length", 0)))
                self.hang_up()
                raise UpgradeRefused(int(status.split()[1]), body)

    # --- Saying -----

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def frame(self, data: bytes, opcode: int = TEXT, *, fin: bool = True) -> None:
        """One WebSocket frame, masked as a client's must be."""
        head = bytes([opcode | (0x80 if fin else 0)])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 65_536:
            head += b"\xfe" + len(data).to_bytes(2, "big")
        else:
            head += b"\xff" + len(data).to_bytes(8, "big")
        mask = os.urandom(4)
        whole = int.from_bytes((mask * (len(data) // 4 + 1))[: len(data)], "big") ^ int.from_bytes(data, "big")
        self.write(head + mask + whole.to_bytes(len(data), "big"))

    def say(self, kind: str, /, **fields: Any) -> None:
        self.frame(msgspec.json.encode({"type": kind, **fields}))

    async def ask(self, kind: str, /, **fields: Any) -> Json:
        """Send a frame with an id of its own; the frame that replies to it."""
        frame_id = f"{kind}-{next(self._ids)}"
        self.say(kind, id=frame_id, **fields)
        return await self.hear(reply_to=frame_id)

    async def connect(self, token: str, resume: Mapping[str, int] | None = None) -> Json:
        """The `connected` frame."""
        answer = await self.ask("connect", token=token, **({} if resume is None else {"resume": dict(resume)}))
        assert answer["type"] == "connected", answer
        return answer

    def hang_up(self) -> None:
        """Break off without a word."""
        self._writer.transport.abort()

    async def close(self, code: int = 1000) -> int | None:
        """Say goodbye; the code of the server's answer."""
        self.frame(code.to_bytes(2, "big"), CLOSE)
        return await self.closed()

    # --- Hearing -----

    async def next(self) -> Json:
        """The next frame. Raises ConnectionResetError if the connection ends instead."""
        told = await self._next()
        if isinstance(told, dict):
            return told
        raise ConnectionResetError(f"closed with {told}")

    async def hear(self, kind: str | None = None, /, **fields: Any) -> Json:
        """The next frame of this type with these values, letting others pass."""
        while True:
            told = await self.next()
            if (kind is None or told["type"] == kind) and all(
                told.get(name) == value for name, value in fields.items()
            ):
                return told

    async def closed(self) -> int | None:
        """Wait for the end, letting frames pass; the server's close code, None if it broke off without one."""
        while isinstance(told := await self._next(), dict):
            pass
        return told

    async def pong(self) -> bytes:
        """The payload of the next pong."""
        while True:
            opcode, data = await self._raw()
            if opcode == PONG:
                return data
            self._take(opcode, data)

    def of(self, kind: str) -> list[Json]:
        return [frame for frame in self.heard if frame["type"] == kind]

    async def _next(self) -> Json | int | None:
        while True:
            try:
                opcode, data = await self._raw()
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return None
            if opcode == CLOSE:
                with suppress(ConnectionError):
                    self.frame(data[:2], CLOSE)
                    await self._writer.drain()
                self._writer.close()
                return int.from_bytes(data[:2], "big")
            told = self._take(opcode, data)
            if told is not None:
                return told

    def _take(self, opcode: int, data: bytes) -> Json | None:
        if opcode == PING:
            self.frame(data, PONG)
        if opcode != TEXT:
            return None
        told: Json = msgspec.json.decode(data)
        check_told(told)
        self.heard.append(told)
        return told

    async def _raw(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE_S):
            first, size = await self._reader.readexactly(2)
            assert first & 0x70 == 0, "reserved bits"
            assert first & 0x80, "the server never sends fragments"
            assert size < 128, "the server never masks"
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self._reader.readexactly(8), "big")
            return first & 0x0F, await self._reader.readexactly(size)
