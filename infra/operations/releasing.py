"""Having parked chats tried again: by a record in their own log (ADR 0046)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from commands.errors import TidingsError, Unavailable
from commands.ports import EventLog, Progress
from events.codec import make
from events.ids import uuid7
from events.log import Position
from events.types import ChatReleased

WAIT_S = 10.0


class Releasing:
    def __init__(self, log: EventLog, progress: Progress, now: Callable[[], datetime]) -> None:
        self._log = log
        self._progress = progress
        self._now = now

    async def retry(self, chat_id: str, user_id: str) -> bool:
        """Whether the fold has come to the record that releases the chat. Raises Unavailable."""
        appended: asyncio.Future[Position] = asyncio.get_running_loop().create_future()

        def done(position: Position | None, error: TidingsError | None) -> None:
            if appended.done():
                return
            if position is None:
                appended.set_exception(error or Unavailable())
            else:
                appended.set_result(position)

        now = self._now()
        self._log.append(make(uuid7(now), chat_id, user_id, now, ChatReleased([])), done)
        position = await appended
        return await self._progress.reach({position.partition: position.offset + 1}, WAIT_S)
