"""Whose turn it is, where only a few can be served at once: users in turns, so that nobody waits for all of another's.

All methods run on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from commands.errors import RateLimited


class Turns:
    """`slots` at once, `each` of one user; beyond `waiting` of one user none is taken."""

    def __init__(self, slots: int, each: int, waiting: int) -> None:
        self._free = slots
        self._each = each
        self._limit = waiting
        self._served: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Users in the order of their next turns."""

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """A slot for the time of the block. Raises RateLimited."""
        await self._take(user_id)
        try:
            yield
        finally:
            self._give_back(user_id)

    async def _take(self, user_id: str) -> None:
        queue = self._waiting.get(user_id)
        if queue is None and self._free and self._served[user_id] < self._each:
            self._free -= 1
            self._served[user_id] += 1
            return
        if queue is None:
            queue = self._waiting[user_id] = deque()
        if len(queue) >= self._limit:
            raise RateLimited("too many of your pictures are being looked at", retry_after_ms=5_000)
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._give_back(user_id)  # it was this one's turn just when it was given up
            else:
                with suppress(ValueError):
                    queue.remove(mine)
                if not queue and self._waiting.get(user_id) is queue:
                    del self._waiting[user_id]
            raise

    def _give_back(self, user_id: str) -> None:
        self._free += 1
        self._served[user_id] -= 1
        if not self._served[user_id]:
            del self._served[user_id]
        while self._free:
            following = next((each for each in self._waiting if self._served[each] < self._each), None)
            if following is None:
                break
            queue = self._waiting.pop(following)
            first = queue.popleft()
            if queue:
                self._waiting[following] = queue  # at the end: others come first
            if not first.done():
                self._free -= 1
                self._served[following] += 1
                first.set_result(None)
