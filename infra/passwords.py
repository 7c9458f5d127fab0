"""Passwords by argon2id, in threads and few at a time, so that signing in never stalls the event loop."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from commands.errors import Corrupt, Unavailable

T = TypeVar("T")


class Argon2Passwords:
    """The adapter of `commands.accounts.Passwords`.

    `at_once` hashes run together, each with `memory_kib`; at most `waiting` wait for their turn, and beyond
    that callers are sent away for a moment rather than kept for minutes.
    """

    def __init__(self, *, time_cost: int = 2, memory_kib: int = 19_456, at_once: int = 2, waiting: int = 200) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._room = at_once + waiting
        self._inside = 0

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
        if self._inside >= self._room:
            raise Unavailable("too many people are signing in right now", retry_after_ms=1000)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1


def _bytes(password: str) -> bytes:
    """The same bytes whichever way a keyboard composes an accent."""
    return unicodedata.normalize("NFKC", password).encode()
