"""The order of one connection's chat commands, when one of them has to wait.

Most sends are appended at once. One that cannot be (its chat has to be read, say) makes a lane: what the
connection sends after it queues behind, so the log gets everything in the order in which it was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from commands.decide import ChatCommand
from commands.errors import RateLimited, TidingsError
from commands.handlers import Commands, Draft
from commands.ports import Appended
from events.log import Position

log = logging.getLogger(__name__)

RETRY_AFTER_MS = 1_000


class Lane:
    """`on_empty` is called when nothing waits any more, `on_defect` when a command failed as none should."""

    __slots__ = ("_commands", "_limit", "_on_defect", "_on_empty", "_task", "_user_id", "_waiting")

    def __init__(
        self,
        commands: Commands,
        user_id: str,
        limit: int,
        on_empty: Callable[[], None],
        on_defect: Callable[[], None],
    ) -> None:
        self._commands = commands
        self._user_id = user_id
        self._limit = limit
        self._on_empty = on_empty
        self._on_defect = on_defect
        self._waiting: deque[tuple[Draft, Appended] | tuple[ChatCommand, str, Appended]] = deque()
        self._task: asyncio.Task[None] | None = None

    def send(self, draft: Draft, done: Appended) -> None:
        """Raises RateLimited when too many wait."""
        self._queue((draft, done))

    def submit(self, command: ChatCommand, chat_id: str, done: Appended) -> None:
        """Raises RateLimited when too many wait."""
        self._queue((command, chat_id, done))

    def _queue(self, item: tuple[Draft, Appended] | tuple[ChatCommand, str, Appended]) -> None:
        if len(self._waiting) >= self._limit:
            raise RateLimited("too many commands of this connection wait", retry_after_ms=RETRY_AFTER_MS)
        self._waiting.append(item)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                item = self._waiting.popleft()
                done = item[-1]
                try:
                    await self._carry_out(item)
                except TidingsError as error:
                    done(None, error)
        except Exception:
            log.exception("a command of user %s failed", self._user_id, extra={"user_id": self._user_id})
            self._on_defect()
        finally:
            self._task = None
        self._on_empty()

    async def _carry_out(self, item: tuple[Draft, Appended] | tuple[ChatCommand, str, Appended]) -> None:
        if len(item) == 2:
            draft, done = item
            if not self._commands.send_now(self._user_id, draft, done):
                appended = await self._commands.send(self._user_id, draft)
                appended.add_done_callback(partial(_pass_on, done))
        else:
            command, chat_id, done = item
            done(await self._commands.submit(command, chat_id), None)


def _pass_on(done: Appended, appended: asyncio.Future[Position]) -> None:
    error = appended.exception()
    if error is None:
        done(appended.result(), None)
    elif isinstance(error, TidingsError):
        done(None, error)
    else:
        raise error
