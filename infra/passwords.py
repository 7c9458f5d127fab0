"""Passwords by argon2id, in threads and few at a time, so that signing in never stalls the event loop.

Addresses take turns, so that who asks for much waits behind himself, and nobody waits long: beyond a second's work
the address with the most waiting is sent away for a moment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unicodedata
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.asker import asker
from commands.errors import Corrupt, Unavailable

T = TypeVar("T")

PATIENCE_S = 1.0


class Argon2Passwords:
    """The adapter of `commands.accounts.Passwords`.

    `at_once` hashes run together, each with `memory_kib`; at most `waiting` wait for their turn, and no more than can
    be done in `PATIENCE_S`.
    """

    def __init__(self, *, time_cost: int = 2, memory_kib: int = 19_456, at_once: int = 2, waiting: int = 200) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2", initializer=_step_back)
        self._at_once = at_once
        self._most = waiting
        self._busy = 0
        self._seconds = 0.02
        """What a hash takes, lately."""
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Who asks → whose turn comes; the first of the first is next."""

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Raises Corrupt if the stored hash is none."""
        return await self._run(lambda: self._matches(password_hash, password))

    def outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _bytes(password))
        except InvalidHashError as error:
            raise Corrupt("a stored password hash cannot be read") from error
        except VerificationError:
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        await self._turn(asker.get())
        began = loop.time()
        try:
            return await loop.run_in_executor(self._threads, work)
        finally:
            self._seconds += (loop.time() - began - self._seconds) / 16
            self._pass_on()

    async def _turn(self, who: str) -> None:
        """Return when it is one's turn. Raises Unavailable."""
        if self._busy < self._at_once:
            self._busy += 1
            return
        if sum(map(len, self._waiting.values())) >= self._room():
            longest = max(self._waiting.values(), key=len, default=None)
            if longest is None or len(longest) <= len(self._waiting.get(who, ())) + 1:
                raise _crowded()
            longest.pop().set_exception(_crowded())
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                self._forget(who, mine)
            else:  # it was just my turn
                self._pass_on()
            raise

    def _room(self) -> int:
        """How many may wait."""
        return min(self._most, max(4 * self._at_once, int(self._at_once * PATIENCE_S / self._seconds)))

    def _pass_on(self) -> None:
        """A place is free: it goes to the next address in turn."""
        while self._waiting:
            who, line = self._waiting.popitem(last=False)
            following = line.popleft() if line else None
            if line:
                self._waiting[who] = line
            if following is not None and not following.done():
                following.set_result(None)
                return
        self._busy -= 1

    def _forget(self, who: str, mine: asyncio.Future[None]) -> None:
        line = self._waiting.get(who)
        if line is not None and mine in line:
            line.remove(mine)
            if not line:
                del self._waiting[who]


def _crowded() -> Unavailable:
    return Unavailable("too many people are signing in right now", retry_after_ms=1000)


def _step_back() -> None:
    """Hashing takes what processors the rest leaves: on Linux a thread has a priority of its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _bytes(password: str) -> bytes:
    """The same bytes whichever way a keyboard composes an accent."""
    return unicodedata.normalize("NFKC", password).encode()
