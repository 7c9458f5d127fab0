"""Appending to an event log in tests, and what adapters offer beside the port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from commands.errors import TidingsError, Unavailable
from commands.ports import Appended, EventLog
from events.codec import Event, make
from events.ids import uuid7
from events.log import Position
from events.types import MessageRead
from tests.support.history import ANA, NOON, ROOM


class Log(EventLog, Protocol):
    def append_raw(self, key: str, value: bytes, done: Appended) -> None: ...

    def append_traced(self, event: Event, done: Appended, trace: str) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


def event(number: int, chat_id: str = ROOM) -> Event:
    return make(uuid7(NOON), chat_id, ANA, NOON, MessageRead(number))


class Answers:
    """What a log said to appends, in the order in which it said so."""

    def __init__(self) -> None:
        self.given: list[tuple[int, Position | None]] = []
        self.confirmed = 0
        self._news = asyncio.Event()

    async def answered(self) -> None:
        """Wait for the next answer."""
        self._news.clear()
        await self._news.wait()

    def append(self, log: EventLog, *events: Event) -> asyncio.Future[list[Position]]:
        """Append all at once; the result has every position in order, or raises the first error."""
        return asyncio.gather(*(self._append(log, one) for one in events))

    def _append(self, log: EventLog, one: Event) -> asyncio.Future[Position]:
        answer: asyncio.Future[Position] = asyncio.get_running_loop().create_future()

        def done(position: Position | None, error: TidingsError | None) -> None:
            assert isinstance(one.data, MessageRead)
            self.given.append((one.data.up_to_seq, position))
            self.confirmed += position is not None
            self._news.set()
            if not answer.done():
                if position is None:
                    answer.set_exception(error or Unavailable())
                else:
                    answer.set_result(position)

        log.append(one, done)
        return answer


async def append(log: EventLog, *events: Event) -> list[Position]:
    """Append all at once and wait for every answer. Raises the first error."""
    return await Answers().append(log, *events)


async def append_all(log: Log, events: Iterable[tuple[str, bytes]]) -> None:
    """Append and wait until the log has them all."""
    answered = asyncio.get_running_loop().create_future()
    missing = 1

    def done(position: object, error: BaseException | None) -> None:
        nonlocal missing
        missing -= 1
        if error is not None and not answered.done():
            answered.set_exception(error)
        elif missing == 0 and not answered.done():
            answered.set_result(None)

    for key, value in events:
        missing += 1
        log.append_raw(key, value, done)
    done(None, None)
    await answered
