"""What a hub does from time to time: compare with the views what fan-out may have lost, forget what nobody needs."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from math import ceil

from api.ws.hub import Hub
from api.ws.local import User
from api.ws.localchat import LocalChat
from commands.errors import Unavailable
from commands.isolation import for_each, left_out
from commands.timers import pause

log = logging.getLogger(__name__)

TICK_S = 1.0
COMPARE_S = 30.0
"""Every user's memberships are compared this often, a few users each tick."""
SWEEP_S = 10.0
LINGER_S = 30.0
"""A chat in which nobody is here any more is followed a little longer: people come back."""
COOL_S = 300.0
"""A quiet chat keeps its state this long."""


class Caretaker:
    """Runs beside a hub, on its timers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._timers = hub.shared.timers
        self._due: deque[str] = deque()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        swept_at = self._timers.time()
        while True:
            await pause(self._timers, TICK_S)
            try:
                if self._hub.resync_needed:
                    self._hub.resync_needed = False
                    try:
                        await self.compare_everything()
                    except Unavailable:
                        self._hub.resync_needed = True
                        raise
                await self.compare_some()
                if self._timers.time() - swept_at >= SWEEP_S:
                    swept_at = self._timers.time()
                    await self.sweep()
            except Unavailable:
                log.warning("the hub cannot be compared with the views", exc_info=True)
            except Exception:
                log.exception("taking care of the hub failed")

    async def compare_everything(self) -> None:
        """After a possible loss: every chat followed, and every user's memberships."""
        for_each("comparing a chat", self._hub.chats.values(), lambda local: local.check(marks=True))
        self._due = deque(self._hub.users)
        while self._due:
            await self._compare_next()

    async def compare_some(self) -> None:
        """The next few users: everybody has their turn once in 30 s."""
        if not self._due:
            self._due = deque(self._hub.users)
        for _ in range(ceil(len(self._hub.users) * TICK_S / COMPARE_S)):
            if self._due:
                await self._compare_next()

    async def sweep(self) -> None:
        """Forget chats in which nobody is here, and the state of quiet ones. Raises Unavailable."""
        for_each("forgetting a quiet chat", self._hub.chats.values(), partial(self._sweep_one, self._timers.time()))
        await self._hub.subscriptions.flush()

    def _sweep_one(self, now: float, local: LocalChat) -> None:
        quiet = now - local.touched
        if not local.here and quiet >= LINGER_S and not local.is_busy:
            self._hub.drop(local)
        elif quiet >= COOL_S:
            local.cool()

    async def _compare_next(self) -> None:
        user = self._hub.users.get(self._due.popleft())
        if user is not None and user.sessions:
            try:
                await self._compare(user)
            except Unavailable:
                raise
            except Exception:
                left_out("comparing somebody's memberships")

    async def _compare(self, user: User) -> None:
        views = self._hub.shared.views
        listed = set(await views.chats_of(user.user_id))
        for chat_id in user.chats.keys() - listed:
            local = self._hub.chats.get(chat_id)
            if local is not None:
                local.check()  # the leaving is in the timeline, and will see the user off
        missing = listed - user.chats.keys()
        if missing:
            for summary in await views.summaries(user.user_id, missing):
                self._hub.joined(user, summary.chat.chat_id, summary.own.joined_seq, summary.chat.seq)
                local = self._hub.chats.get(summary.chat.chat_id)
                if local is not None and user not in local.here:
                    local.check()
