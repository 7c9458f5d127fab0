"""Clients that never give up: they send, resend what was not answered, come back and resume, and keep the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from random import Random
from typing import Any, Literal

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from events.ids import id_ms, uuid7
from events.log import Position

_RECONNECT_S = 0.02
_MOVES = ("join", "leave")
_RETRY = ("unavailable", "not_yet", "rate_limited")
_HANDSHAKE_S = 5.0
_MOST_PENDING = 100
"""Who has so many questions open says nothing new: all of them are repeated at once on the next connection."""


@dataclass
class Books:
    """What one client knows of its own messages. Message ids are keys."""

    chat_of: dict[str, str] = field(default_factory=dict)
    text_of: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    """Sent and not yet answered → text, in the order of sending."""
    acked: dict[str, Position] = field(default_factory=dict)
    """Acknowledged → where the log has it (the last answer counts)."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Refused by the fold → code."""
    turned_away: dict[str, str] = field(default_factory=dict)
    """Answered by an error: this attempt was not accepted, but one before it may have been."""


class _Line(WSListener):
    """One connection of a talker."""

    def __init__(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._hear = hear
        self.code: int | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._hear(json.loads(frame.get_payload_as_utf8_text()))
        elif frame.msg_type is WSMsgType.CLOSE:
            self.code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Talker:
    """One device of a user. `speak(talker)` is called at random moments while it is connected.

    It checks what it hears: each seq exactly once and in order, in every chat, across all its connections.
    What is wrong is noted in `faults`, because nobody awaits a callback.
    """

    def __init__(
        self,
        name: str,
        ws_urls: Sequence[str],
        token: str,
        random: Random,
        speak: Callable[[Talker], None],
        pace_s: float,
    ) -> None:
        """`ws_urls`: servers of one product; it goes on to the next one when a connection ends or cannot be made."""
        self.name = name
        self.books = Books()
        self.faults: list[str] = []
        self.cursors: dict[str, int] = {}
        """Chat → the last seq that it has; chats that it is in, as far as it knows."""
        self.first: dict[str, int] = {}
        """Chat → the cursor with which it began."""
        self.heard: dict[str, list[tuple[int, str]]] = {}
        """Chat → (seq, message id or event type), in the order of arrival."""
        self.skipped: list[tuple[str, int, int]] = []
        """(chat, from, up to): told that too much was missed."""
        self.codes: list[int | None] = []
        """How each connection ended; None: without a close frame."""
        self.newest_ms = 0
        """When the newest message that it heard was sent, ms since 1970."""
        self.warnings = 0
        """`reconnect` frames."""
        self.resuming: set[str] = set()
        """Chats that the latest `connect` resumed."""
        self._ws_urls = cycle(ws_urls)
        self._token = token
        self._random = random
        self._speak = speak
        self._pace_s = pace_s
        self._transport: WSTransport | None = None
        self._welcomed: set[str] = set()
        """Chats that were shown by a `chat` frame and had no event since."""
        self._connected = False
        self._pulse = asyncio.Event()
        self.moves = 0
        """Joins and leaves of this connection that have no answer yet."""
        self.quiet = False
        """Say nothing new, but stay."""

    def __repr__(self) -> str:
        line = "connected" if self._connected else "not connected"
        return (
            f"{self.name}: {line}, closed with {self.codes[-5:]}, faults {self.faults}, cursors {self.cursors}, "
            f"{len(self.books.pending)} unanswered {list(self.books.pending)[:3]}"
        )

    @property
    def headers(self) -> dict[str, str]:
        """For HTTP calls as this user."""
        return {"Authorization": f"Bearer {self._token}"}

    async def live(self) -> None:
        """Connect, talk, and do so again whenever the line breaks; until cancelled."""
        while True:
            line = _Line(self.hear)
            try:
                self._transport, _ = await ws_connect(
                    lambda line=line: line,
                    next(self._ws_urls),
                    extra_headers={"Sec-WebSocket-Protocol": "chat.v1"},
                    websocket_handshake_timeout=_HANDSHAKE_S,
                )
            except (OSError, WSError, TimeoutError, asyncio.InvalidStateError):
                await self._wait(line.ended, _RECONNECT_S)
                continue
            if self._transport.is_disconnected:  # during the handshake, which picows tells nobody
                continue
            try:
                await self._talk(line)
            finally:
                self._connected = False
                self._transport.disconnect(False)
            self.codes.append(line.code)
            self._pulse.set()

    async def _talk(self, line: _Line) -> None:
        resume = {chat_id: seq for chat_id, seq in self.cursors.items() if chat_id not in self._welcomed}
        self.resuming = set(resume)
        self.moves = 0
        self.tell({"type": "connect", "id": "connect", "token": self._token, "resume": resume})
        while not line.ended.done():
            if self._connected and not self.quiet and len(self.books.pending) < _MOST_PENDING:
                self._speak(self)
            await self._wait(line.ended, self._random.uniform(0, 2 * self._pace_s))

    async def _wait(self, ended: asyncio.Future[None], seconds: float) -> None:
        """Wait for the line to end, but not longer than that."""
        await asyncio.wait([ended], timeout=seconds)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something heard makes the condition true."""
        while not condition():
            self._pulse.clear()
            await self._pulse.wait()

    def has_ended(self, times: int) -> bool:
        """Whether so many of its connections have ended."""
        return len(self.codes) >= times

    def is_connected(self) -> bool:
        return self._connected

    def has_been_answered(self) -> bool:
        return len(self.books.acked) >= 20

    def has_all_answers(self) -> bool:
        return not self.books.pending and self.moves == 0

    def has_heard(self, chat_id: str, seq: int) -> bool:
        return self.cursors[chat_id] >= seq

    # --- saying ----------------------------------------------------------------------------------------------

    def tell(self, frame: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send(WSMsgType.TEXT, json.dumps(frame).encode())

    def move(self, what: Literal["join", "leave"], chat_id: str) -> None:
        """Come into a chat, or go."""
        self.moves += 1
        self.tell({"type": what, "id": what, "chat_id": chat_id})

    def send(self, chat_id: str) -> str:
        """Send a new message; gives its id."""
        message_id = uuid7(datetime.now(UTC))
        text = f"{self.name} {len(self.books.chat_of)}"
        self.books.chat_of[message_id], self.books.text_of[message_id] = chat_id, text
        self.books.pending[message_id] = text
        self._send(message_id)
        return message_id

    def repeat(self, message_id: str) -> None:
        """Send one that was already answered, as a client does that forgot, and with another text."""
        self.books.pending[message_id] = "something else"
        self._send(message_id)

    def _send(self, message_id: str) -> None:
        chat_id, text = self.books.chat_of[message_id], self.books.pending[message_id]
        frame = {"type": "send", "id": message_id, "chat_id": chat_id, "message_id": message_id, "kind": "TEXT"}
        self.tell({**frame, "text": text})

    # --- hearing -----------------------------------------------------------------------------------------------

    def hear(self, frame: dict[str, Any]) -> None:
        """Take in a server's frame."""
        match frame["type"]:
            case "event":
                self._hear_event(frame["chat_id"], frame["seq"], frame["event"])
            case "ack":
                self._hear_ack(frame)
            case "error":
                self._hear_error(frame)
            case "rejected":
                if "message_id" in frame:
                    self.books.rejected[frame["message_id"]] = frame["code"]
            case "connected":
                self._hear_connected(frame["chats"])
            case "chat":
                self._welcomed.add(frame["chat"]["chat_id"])
            case "gone":
                self.cursors.pop(frame["chat_id"], None)
                self._welcomed.discard(frame["chat_id"])
            case "limited":
                chat_id, head = frame["chat_id"], frame["head_seq"]
                self.skipped.append((chat_id, self.cursors[chat_id] + 1, head))
                self.cursors[chat_id] = head
            case "reconnect":
                self.warnings += 1
            case "receipt" | "presence" | "typing":
                pass
            case other:
                self.faults.append(f"{self.name} got a {other} frame")
        self._pulse.set()

    def _hear_connected(self, chats: dict[str, dict[str, int]]) -> None:
        for chat_id, state in chats.items():
            if chat_id not in self.resuming:
                self.cursors[chat_id] = state["head_seq"]
                self._welcomed.discard(chat_id)
                self.first.setdefault(chat_id, state["head_seq"])
        self._connected = True
        for message_id in list(self.books.pending):
            self._send(message_id)

    def _hear_event(self, chat_id: str, seq: int, event: dict[str, Any]) -> None:
        if chat_id in self._welcomed:
            self._welcomed.discard(chat_id)
        elif chat_id not in self.cursors:
            self.faults.append(f"{self.name} got {seq} of a chat that it is not in")
        elif seq != self.cursors[chat_id] + 1:
            self.faults.append(f"{self.name} got {seq} after {self.cursors[chat_id]} of {chat_id}")
        self.cursors[chat_id] = seq
        what = event["type"]
        if what == "message.sent":
            what = event["data"]["message_id"]
            self.newest_ms = max(self.newest_ms, id_ms(what))
        self.heard.setdefault(chat_id, []).append((seq, what))

    def _hear_ack(self, frame: dict[str, Any]) -> None:
        self.moves -= frame["reply_to"] in _MOVES
        message_id = frame.get("message_id")
        if message_id is not None:
            if frame["reply_to"] != message_id:
                self.faults.append(f"{self.name} got an ack of {message_id} as {frame['reply_to']}")
            self.books.pending.pop(message_id, None)
            self.books.acked[message_id] = Position.parse(frame["position"])

    def _hear_error(self, frame: dict[str, Any]) -> None:
        reply_to, code = frame.get("reply_to", ""), frame["code"]
        if reply_to in self.books.pending:
            if code in _RETRY:
                self._send(reply_to)
            else:
                del self.books.pending[reply_to]
                self.books.turned_away[reply_to] = code
        elif reply_to in _MOVES:
            self.moves -= 1
        else:
            self.faults.append(f"{self.name} was told {frame}")
