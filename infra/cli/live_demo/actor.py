"""One scripted user: a sign-in and a socket that comes back by itself, resuming where it stopped."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from secrets import token_urlsafe
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from events.ids import uuid7
from infra.cli.faults import Fault
from infra.cli.live_demo.http import Http, Refused

Frame = dict[str, Any]
PROTOCOL = Subprotocol("chat.v1")
RENEW_S = 600.0
"""Access tokens live for 15 minutes."""
PATIENCE_S = 60.0
"""How long a server may be away before the demo gives up."""
TRIES = 5
NOT_AGAIN = frozenset({1009, 4400, 4409})
"""Close codes after which a client does not come back."""


class Actor:
    """Connects in `run`. `heard(actor, frame)` gets what the server says about chats."""

    def __init__(self, http: Http, username: str, name: str, heard: Callable[[Actor, Frame], None]) -> None:
        self.username = username
        self.name = name
        self.user_id = ""
        self.token = ""
        self.connected = asyncio.Event()
        self._http = http
        self._heard = heard
        self._refresh_token = ""
        self._seqs: dict[str, int] = {}
        self._socket: ClientConnection | None = None
        self._ids = map(str, count(1))
        self._waiting: dict[str, asyncio.Future[Frame]] = {}

    async def register(self) -> None:
        """Raises Refused, Fault."""
        body = {"username": self.username, "password": token_urlsafe(24), "display_name": self.name}
        answer = await self._http.call("POST", "/v1/auth/register", body)
        self.user_id = answer["user"]["user_id"]
        self._take(answer)

    async def run(self) -> None:
        """Stay connected until cancelled. Raises Fault when the server stays away, Refused when it will not have us."""
        away_since: float | None = None
        pause = 0.2
        while True:
            try:
                url = self._http.ws_url(self.user_id)
                async with connect(url, subprotocols=[PROTOCOL], max_size=None) as self._socket:
                    await self._converse(self._socket)
            except ConnectionClosed as closed:
                code = 1006 if closed.rcvd is None else closed.rcvd.code
                if code in NOT_AGAIN:
                    raise Fault(f"the server closed {self.name}'s connection with {code}", "") from closed
                if code == 4401:
                    await self._renew()
            except (OSError, WebSocketException) as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_S:
                    raise Fault(f"the server at {self._http.url} went away ({error})", "") from error
            finally:
                if self.connected.is_set():
                    away_since, pause = None, 0.2
                self._disconnected()
            pause = min(pause * 2, 5.0)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def send(self, chat_id: str, text: str, reply_to: str | None = None) -> tuple[str, float] | None:
        """Message id and seconds until the log had it, or None if the server would not take it.

        Where the outcome is unknown, the same message is sent again under its id.
        """
        message_id = uuid7(datetime.now(UTC))
        frame = {"type": "send", "chat_id": chat_id, "message_id": message_id, "kind": "TEXT", "text": text}
        if reply_to is not None:
            frame["reply_to_message"] = reply_to
        began = time.monotonic()
        for _ in range(TRIES):
            answer = await self._ask(frame)
            if answer["type"] == "ack":
                return message_id, time.monotonic() - began
            if answer["code"] != "unavailable":
                return None
        return None

    async def typing(self, chat_id: str) -> None:
        await self._say({"type": "typing", "chat_id": chat_id})

    async def mark(self, kind: str, chat_id: str, up_to_seq: int) -> None:
        """`kind`: delivered or read."""
        await self._say({"type": kind, "chat_id": chat_id, "up_to_seq": up_to_seq})

    async def show(self, status: str) -> None:
        """`status`: online or away."""
        await self._say({"type": "status", "status": status})

    # --- the socket ------------------------------------------------------------------------------------------

    async def _converse(self, socket: ClientConnection) -> None:
        await self._say({"type": "connect", "id": "0", "token": self.token, "resume": self._seqs, "client": _CLIENT})
        renewing = asyncio.create_task(self._keep_token_fresh())
        try:
            async for text in socket:
                self._take_frame(msgspec.json.decode(text))
        finally:
            renewing.cancel()

    def _take_frame(self, frame: Frame) -> None:
        match frame["type"]:
            case "connected":
                for chat_id, chat in frame["chats"].items():
                    self._seqs.setdefault(chat_id, chat["head_seq"])
                self.connected.set()
            case "ack" | "error":
                waiting = self._waiting.pop(frame.get("reply_to", ""), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
                return
            case "event":
                self._seqs[frame["chat_id"]] = frame["seq"]
            case "limited":
                self._seqs[frame["chat_id"]] = frame["head_seq"]
            case "gone":
                self._seqs.pop(frame["chat_id"], None)
        self._heard(self, frame)

    async def _ask(self, frame: Frame) -> Frame:
        """The server's answer, or an error frame of our own where the connection broke first."""
        await self.connected.wait()
        number = next(self._ids)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._say(frame | {"id": number})
        return await answer

    async def _say(self, frame: Frame) -> None:
        """Dropped while there is no connection."""
        if self._socket is not None:
            try:
                await self._socket.send(msgspec.json.encode(frame).decode())
            except ConnectionClosed:
                self._disconnected()

    def _disconnected(self) -> None:
        self.connected.clear()
        self._socket = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result({"type": "error", "code": "unavailable"})
        self._waiting.clear()

    # --- the sign-in -----------------------------------------------------------------------------------------

    async def _keep_token_fresh(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._renew()
            await self._ask({"type": "auth", "token": self.token})

    async def _renew(self) -> None:
        request = {"refresh_token": self._refresh_token, "request_id": uuid7(datetime.now(UTC))}
        self._take(await self._http.call("POST", "/v1/auth/refresh", request))

    async def sign_out(self) -> None:
        """Leave no sign-in behind."""
        try:
            await self._http.call("POST", "/v1/auth/logout", {"refresh_token": self._refresh_token})
        except (Fault, Refused):
            return  # the server went first: the sign-in runs out by itself

    def _take(self, answer: Frame) -> None:
        self.token, self._refresh_token = answer["access_token"], answer["refresh_token"]


_CLIENT = {"name": "tidings demo", "platform": "cli"}
