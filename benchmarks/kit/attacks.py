"""Clients that mean harm, or are merely broken, against one server on loopback, bounded in time and rate.

Each comes from an address of its own, 127.0.0.2, so that limits by address meet it and not the honest user.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from PIL import Image

from benchmarks.kit.files import raise_file_limit
from benchmarks.kit.people import bounded
from benchmarks.kit.workers import Report

ADDRESS = "127.0.0.2"
BYTES_PER_S = 2_400_000
"""Of an attacker that floods one connection."""
_TICK_S = 0.01
_KEPT = 1024 * 1024
"""As much the attacker keeps itself while the server does not read."""
_AGAIN_S = 0.05
"""Before it connects once more after having been cut off."""
_AT_ONCE = 16
_IDLE = 990
"""Connections that stay half open."""
_PASSWORD = "only for a benchmark"
_LARGE, _MEMBERS = 8_000, 1_000

Told = Counter[str]
"""What the server answered → how often."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and an honest user whom some attacks aim at."""

    url: str
    victim_id: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


class Attacker:
    """What attacks share: connections from the attacker's address, and the moment at which all of them end."""

    def __init__(self, target: Target, seconds: float, told: Told) -> None:
        self.target = target
        self.told = told
        self._until = time.monotonic() + seconds

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._until

    def http(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(local_address=ADDRESS, limits=httpx.Limits(max_connections=_AT_ONCE))
        return httpx.AsyncClient(base_url=self.target.url, transport=transport, timeout=60.0)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.target.host, self.target.port, local_addr=(ADDRESS, 0))

    async def socket(self, token: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A WebSocket by hand, connected as the token's user where one is given."""
        reader, writer = await self.open()
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {self.target.host}:{self.target.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: chat.v1\r\n\r\n".encode()
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n", 1)[0]:
            writer.close()
            raise ConnectionRefusedError(answer.split(b"\r\n", 1)[0].decode())
        if token is not None:
            writer.write(frame(json.dumps({"type": "connect", "id": "c", "token": token}).encode()))
        return reader, writer

    async def register(self, http: httpx.AsyncClient) -> tuple[str, dict[str, str]]:
        """A user id, and the header that speaks for it."""
        name = f"x{uuid4().hex[:24]}"
        answer = await http.post("/v1/auth/register", json={"username": name, "password": _PASSWORD})
        answer.raise_for_status()
        body = answer.json()
        return body["user"]["user_id"], {"Authorization": f"Bearer {body['access_token']}"}

    async def repeat(self, ask: Callable[[], Awaitable[httpx.Response]], at_once: int = _AT_ONCE) -> None:
        """Ask again and again, several at a time."""

        async def one() -> None:
            while self.goes_on:
                try:
                    answer = await ask()
                except httpx.HTTPError as error:
                    self.told[type(error).__name__] += 1
                    await asyncio.sleep(_AGAIN_S)
                else:
                    self.told[str(answer.status_code)] += 1

        await asyncio.gather(*(one() for _ in range(at_once)))

    async def flood(self, first: bytes, piece: bytes, token: str | None = None, *, plain: bool = False) -> None:
        """Open a socket, write `first` once and `piece` at the bounded rate; once more each time it is cut off."""
        while self.goes_on:
            try:
                reader, writer = await (self.open() if plain else self.socket(token))
            except (OSError, asyncio.IncompleteReadError) as error:
                self.told[f"refused: {type(error).__name__}"] += 1
                await asyncio.sleep(_AGAIN_S)
                continue
            listening = asyncio.create_task(_listen(reader, plain))
            try:
                await self._pour(writer, first, piece, listening)
            finally:
                writer.transport.abort()
                self.told[await listening] += 1
            await asyncio.sleep(_AGAIN_S)

    async def _pour(
        self, writer: asyncio.StreamWriter, first: bytes, piece: bytes, listening: asyncio.Task[str]
    ) -> None:
        writer.write(first)
        began, written = time.monotonic(), 0
        while self.goes_on and not listening.done():
            due = int(((time.monotonic() - began) * BYTES_PER_S - written) / len(piece))
            if due > 0 and writer.transport.get_write_buffer_size() < _KEPT:
                writer.write(piece * due)
                written += due * len(piece)
                self.told["bytes written"] += due * len(piece)
            await asyncio.sleep(_TICK_S)


async def _listen(reader: asyncio.StreamReader, plain: bool) -> str:
    """Read until the end; how the server took its leave."""
    last = b""
    try:
        while data := await reader.read(65_536):
            last = (last + data)[-4_096:]
    except OSError:
        pass
    if plain:
        status = last.split(b" ", 2)
        return status[1].decode(errors="replace") if last.startswith(b"HTTP/") else "cut off"
    at = last.rfind(b"\x88")
    return f"close {int.from_bytes(last[at + 2 : at + 4], 'big')}" if 0 <= at <= len(last) - 4 else "cut off"


def frame(payload: bytes, kind: int = 0x81) -> bytes:
    """A client's frame. The mask is zero, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([kind]) + length + bytes(4) + payload


# --- The attacks -------------------------------------------------------------------------------------------


async def pings(by: Attacker) -> None:
    """PING after PING on a socket that never says who it is."""
    await by.flood(b"", frame(b"", 0x89))


async def empty_fragments(by: Attacker) -> None:
    """A message of empty fragments that never ends."""
    await by.flood(frame(b"", 0x01), frame(b"", 0x00))


async def text_after_close(by: Attacker) -> None:
    """Broken JSON, which is answered with a close, and then text all the same."""
    await by.flood(frame(b"{"), frame(b"x"))


async def large_connects(by: Attacker) -> None:
    """Frames `connect` of 250 KB with a field that nobody knows."""
    body = json.dumps({"type": "connect", "id": "c", "token": "t", "unknown": "x" * 250_000}).encode()
    await by.flood(b"", frame(body))


async def broken_frames(by: Attacker) -> None:
    """Signed in, a frame with a reserved opcode; then it keeps its side open. Many times, beside whom it may hear."""
    async with by.http() as http:
        _, mine = await by.register(http)
        token = mine["Authorization"].removeprefix("Bearer ")
        await http.put(f"/v1/chats/direct/{by.target.victim_id}", headers=mine)
    held = []
    while by.goes_on:
        try:
            reader, writer = await by.socket(token)
            await reader.read(65_536)
            writer.write(bytes.fromhex("838000000000"))
        except (OSError, asyncio.IncompleteReadError) as error:
            by.told[f"refused: {type(error).__name__}"] += 1
        else:
            held.append((reader, writer))
        await asyncio.sleep(0.1)
    for reader, writer in held:
        by.told[await _until_now(reader)] += 1
        writer.transport.abort()


async def _until_now(reader: asyncio.StreamReader) -> str:
    """What a socket that was kept open has been told by now."""
    try:
        return await asyncio.wait_for(_listen(reader, plain=False), 0.05)
    except TimeoutError:
        return "still open"


async def typing_in_turns(by: Attacker) -> None:
    """Signed in, typing in two chats with the victim in turns."""
    async with by.http() as http:
        other, _ = await by.register(http)
        _, mine = await by.register(http)
        direct = await http.put(f"/v1/chats/direct/{by.target.victim_id}", headers=mine)
        body = {"title": "two", "member_ids": [by.target.victim_id, other]}
        group = await http.post("/v1/chats", headers=mine, json=body)
    chats = [answer.json()["chat"]["chat_id"] for answer in (direct, group)]
    turns = b"".join(frame(json.dumps({"type": "typing", "chat_id": chat}).encode()) for chat in chats)
    await by.flood(b"", turns, mine["Authorization"].removeprefix("Bearer "))


async def large_sign_ins(by: Attacker) -> None:
    """`POST /v1/auth/login` with a megabyte of unknown fields."""
    body = json.dumps({f"field{number}": number for number in range(50_000)}).encode()[: 1024 * 1024]
    async with by.http() as http:
        await by.repeat(lambda: http.post("/v1/auth/login", content=body, headers={"Content-Type": "application/json"}))


async def random_names(by: Attacker) -> None:
    """Sign-ins with names that nobody has."""
    async with by.http() as http:
        await by.repeat(
            lambda: http.post("/v1/auth/login", json={"username": f"n{uuid4().hex[:20]}", "password": _PASSWORD})
        )


async def endless_head(by: Attacker) -> None:
    """Header lines without end."""
    await by.flood(b"GET /v1/info HTTP/1.1\r\nHost: x\r\n", b"X-Filler: " + b"y" * 190 + b"\r\n", plain=True)


async def pipelined_gets(by: Attacker) -> None:
    """Requests behind each other whose answers nobody reads for long."""
    await by.flood(b"", b"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n", plain=True)


async def half_requests(by: Attacker) -> None:
    """Nearly a thousand connections with half a head each."""
    raise_file_limit()
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    while by.goes_on:
        if len(held) < _IDLE:
            try:
                reader, writer = await asyncio.wait_for(by.open(), 1.0)
                writer.write(b"GET /v1/info HTTP/1.1\r\nHost: x\r\nX-Half: ")
                held.append((reader, writer))
            except (OSError, TimeoutError) as error:
                by.told[f"refused: {type(error).__name__}"] += 1
                await asyncio.sleep(_AGAIN_S)
            continue
        await asyncio.sleep(0.2)
        for pair in [pair for pair in held if pair[0].at_eof() or pair[0].exception() is not None]:
            held.remove(pair)
            pair[1].transport.abort()
            by.told["cut off"] += 1
    by.told["still open"] += len(held)
    for _, writer in held:
        writer.transport.abort()


async def groups_around(by: Attacker) -> None:
    """Group after group with the victim in it."""
    async with by.http() as http:
        _, mine = await by.register(http)
        body = {"title": "come in", "member_ids": [by.target.victim_id]}
        await by.repeat(lambda: http.post("/v1/chats", headers=mine, json=body))


async def many_members(by: Attacker) -> None:
    """Groups of a thousand members, made in one call each."""
    async with by.http() as http:
        _, mine = await by.register(http)
        members = [user_id for user_id, _ in await bounded([by.register(http) for _ in range(_MEMBERS)])]
        by.told["people"] = _MEMBERS
        body = {"title": "everybody", "member_ids": members}
        await by.repeat(lambda: http.post("/v1/chats", headers=mine, json=body), at_once=2)


async def large_uploads(by: Attacker) -> None:
    """Uploads beside each other, each of them as large as the quota."""
    piece = bytes(256 * 1024)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(32):
            yield piece
            await asyncio.sleep(0.1)
        yield b"\r\n--b--\r\n"

    async with by.http() as http:
        _, mine = await by.register(http)
        headers = {**mine, "Content-Type": "multipart/form-data; boundary=b"}
        await by.repeat(lambda: http.post("/v1/files", content=body(), headers=headers), at_once=_AT_ONCE)


async def large_pictures(by: Attacker) -> None:
    """Pictures of 48 megapixels, several at once."""
    kept = io.BytesIO()
    Image.linear_gradient("L").resize((_LARGE, 6_000)).convert("RGB").save(kept, "JPEG", quality=50)
    picture = kept.getvalue()
    async with by.http() as http:
        _, mine = await by.register(http)
        await by.repeat(
            lambda: http.post("/v1/files", files={"file": ("large.jpg", picture, "image/jpeg")}, headers=mine)
        )


async def far_positions(by: Attacker) -> None:
    """Reads that want to wait for positions which do not exist, a different one each."""
    turn = iter(range(10**12, 10**12 + 10**9))
    async with by.http() as http:
        _, mine = await by.register(http)
        await by.repeat(lambda: http.get("/v1/chats", headers={**mine, "Tidings-Min-Position": f"0:{next(turn)}"}))


ATTACKS: Mapping[str, Callable[[Attacker], Awaitable[None]]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        pings,
        empty_fragments,
        text_after_close,
        large_connects,
        broken_frames,
        typing_in_turns,
        large_sign_ins,
        random_names,
        endless_head,
        pipelined_gets,
        half_requests,
        groups_around,
        many_members,
        large_uploads,
        large_pictures,
        far_positions,
    )
}


@dataclass(frozen=True, slots=True)
class Abuse:
    """An attack as a job of the client process."""

    name: str
    target: Target
    seconds: float

    async def run(self, report: Report) -> dict[str, int]:
        told: Told = Counter()
        async with _ended(self.seconds + 60):
            await ATTACKS[self.name](Attacker(self.target, self.seconds, told))
        return dict(told)


@asynccontextmanager
async def _ended(after_s: float) -> AsyncIterator[Any]:
    """A server that stands still must not hold the benchmark for ever: what is left is given up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            yield
