"""Delivered and read marks on their way into the log: gathered for a moment, then one event for each chat and user.

A client marks what it shows, message by message; the log needs only where that ended. In large groups marks
matter less and are more, so they are gathered longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from math import ceil
from typing import Literal, NamedTuple

from commands.chat import Chat
from commands.decide import Deliver, Read, decide
from commands.errors import TidingsError, Unavailable
from commands.handlers import Commands
from commands.isolation import for_each, left_out
from commands.ports import Appended, ChatSource, EventLog
from commands.timers import Timers
from events.codec import make
from events.ids import uuid7
from events.log import Position

MarkKind = Literal["delivered", "read"]

WINDOW_S = 0.1
FULL_SPEED_MEMBERS = 10
"""Beyond this many members the window grows in proportion."""
MAX_WINDOW_S = 2.0
TICK_S = 0.02
"""Marks are flushed together to this precision."""


class _Mark(NamedTuple):
    kind: MarkKind
    up_to_seq: int
    done: Appended


class Receipts:
    """Coalesces marks. One instance serves a process, on its event loop; `chats` as for Commands."""

    def __init__(
        self, commands: Commands, chats: ChatSource, log: EventLog, timers: Timers, now: Callable[[], datetime]
    ) -> None:
        self._commands = commands
        self._chats = chats
        self._log = log
        self._timers = timers
        self._now = now
        self._pending: dict[tuple[str, str], list[_Mark]] = {}
        self._slots: dict[int, list[tuple[str, str]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def mark(self, user_id: str, chat_id: str, kind: MarkKind, up_to_seq: int) -> Position:
        """Move a watermark and return once the log has it. It never moves back; `read` implies `delivered`.

        Raises NoSuchChat, BeyondHead, Unavailable.
        """
        result: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self.note(user_id, chat_id, kind, up_to_seq, partial(_settle, result))
        return await result

    def note(self, user_id: str, chat_id: str, kind: MarkKind, up_to_seq: int, done: Appended) -> None:
        """As `mark`, without waiting: `done` is called with the position, or with the error."""
        mark = _Mark(kind, up_to_seq, done)
        chat = self._chats.cached(chat_id)
        if chat is not None and up_to_seq > chat.seq:
            # This process may be behind, or the mark wrong: either way it must not spoil the others.
            self._start(self._submit(user_id, chat_id, [mark]))
            return
        key = (chat_id, user_id)
        waiting = self._pending.get(key)
        if waiting is not None:
            waiting.append(mark)
            return
        self._pending[key] = [mark]
        self._schedule(key, window_s(len(chat.members)) if chat is not None else WINDOW_S)

    async def close(self) -> None:
        """Send on what is pending and wait for what is under way."""
        for_each("sending on marks", self._slots, self._flush)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _schedule(self, key: tuple[str, str], delay_s: float) -> None:
        now = self._timers.time()
        slot = ceil((now + delay_s) / TICK_S)
        keys = self._slots.get(slot)
        if keys is None:
            self._slots[slot] = [key]
            self._timers.call_later(slot * TICK_S - now, self._flush, slot)
        else:
            keys.append(key)

    def _flush(self, slot: int) -> None:
        for key in self._slots.pop(slot, ()):
            marks = self._pending.pop(key)
            try:
                self._send_on(*key, marks)
            except Exception:
                left_out("sending on marks")
                _tell(marks, None, Unavailable("the mark was lost by a defect"))

    def _send_on(self, chat_id: str, user_id: str, marks: Sequence[_Mark]) -> None:
        chat = self._chats.cached(chat_id)
        if chat is None or not self._append(chat, user_id, marks):
            self._start(self._submit(user_id, chat_id, marks))

    def _append(self, chat: Chat, user_id: str, marks: Sequence[_Mark]) -> bool:
        """Append at once; False if the chat at hand refuses, which only waiting can settle."""
        try:
            happening = [data for command in _wanted(user_id, marks) for data in decide(command, chat)]
        except TidingsError:
            return False
        if not happening:
            _tell(marks, Position(self._commands.partition_of(chat.chat_id), max(chat.offset, 0)), None)
            return True
        now = self._now()
        done = _after(len(happening), partial(_tell, marks))
        for data in happening:
            self._log.append(make(uuid7(now), chat.chat_id, user_id, now, data), done)
        return True

    async def _submit(self, user_id: str, chat_id: str, marks: Sequence[_Mark]) -> None:
        """The way that may wait. Marks that are refused together are tried one by one."""
        try:
            position = Position(0, 0)
            for command in _wanted(user_id, marks):
                position = await self._commands.submit(command, chat_id)
        except TidingsError as error:
            if len(marks) == 1 or isinstance(error, Unavailable):
                _tell(marks, None, error)
                return
            for mark in marks:
                await self._submit(user_id, chat_id, [mark])
        except Exception:
            _tell(marks, None, Unavailable("the mark was lost by a defect"))
            raise
        else:
            _tell(marks, position, None)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def window_s(members: int) -> float:
    """How long marks in a chat of this size are gathered."""
    return min(WINDOW_S * max(1.0, members / FULL_SPEED_MEMBERS), MAX_WINDOW_S)


def _wanted(user_id: str, marks: Sequence[_Mark]) -> list[Deliver | Read]:
    """The fewest commands that say it all: reading implies delivery."""
    delivered = max((mark.up_to_seq for mark in marks if mark.kind == "delivered"), default=0)
    read = max((mark.up_to_seq for mark in marks if mark.kind == "read"), default=0)
    commands: list[Deliver | Read] = []
    if delivered > read:
        commands.append(Deliver(user_id, delivered))
    if read or not commands:
        commands.append(Read(user_id, read))
    return commands


def _tell(marks: Sequence[_Mark], position: Position | None, error: TidingsError | None) -> None:
    for_each("answering a mark", marks, lambda mark: mark.done(position, error))


def _settle(result: asyncio.Future[Position], position: Position | None, error: TidingsError | None) -> None:
    if result.done():
        return
    if position is not None:
        result.set_result(position)
    elif error is not None:
        result.set_exception(error)


def _after(count: int, done: Appended) -> Appended:
    """Call `done` once, after `count` appends, with the first error if there is any."""
    if count == 1:
        return done
    left, failed = count, None

    def each(position: Position | None, error: TidingsError | None) -> None:
        nonlocal left, failed
        left, failed = left - 1, failed or error
        if left == 0:
            done(None if failed else position, failed)

    return each
