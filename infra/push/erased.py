"""What `push.db` has of people who were erased: which devices they had is overwritten, at once and after a crash."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from commands.errors import Unavailable

AGAIN_S = 5.0

log = logging.getLogger(__name__)

Forget = Callable[[Collection[str]], Awaitable[None]]
"""Overwrite what is kept of these users. May be repeated. Raises Unavailable."""


class ErasedPushes:
    """`hear` is told of who is erased; `run` is a task. All who were erased before are looked at once, at the start: a
    crash may have come between the erasure and this."""

    def __init__(self, forget: Forget, erased: Callable[[], Awaitable[Sequence[tuple[str, datetime]]]]) -> None:
        self._forget = forget
        self._erased = erased
        self._heard: set[str] = set()
        self._news = asyncio.Event()

    def hear(self, user_id: str) -> None:
        self._heard.add(user_id)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        known = False
        while True:
            self._news.clear()
            some = set(self._heard)
            try:
                if not known:
                    some |= {user_id for user_id, _ in await self._erased()}
                if some:
                    await self._forget(some)
            except Unavailable as error:
                log.warning("devices of erased users are still named in the list of pushes: %s", error)
                await asyncio.sleep(AGAIN_S)
                continue
            known = True
            self._heard -= some
            if not self._heard:
                await self._news.wait()
