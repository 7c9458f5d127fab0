"""The installation as tools see it, within a process that serves: on a thread of its own, so nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from threading import Thread
from typing import TypeVar

from commands.errors import Unavailable
from infra.estate import Estate, opened
from infra.settings import Settings
from streams.log_reader import NoLog

T = TypeVar("T")
PATIENCE_S = 15.0


class Backstage:
    """Opens nothing before it is first asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._stack: AsyncExitStack | None = None
        self._estate: Estate | None = None
        self._turn = asyncio.Lock()

    async def ask(self, question: Callable[[Estate], Awaitable[T]]) -> T:
        """What `question` gives, on the other thread; one at a time. Raises Unavailable and what it raises."""
        async with self._turn:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="operations", daemon=True)
                self._thread.start()
            work = asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)
            try:
                return await asyncio.wait_for(asyncio.wrap_future(work), PATIENCE_S)
            except TimeoutError as error:
                raise Unavailable("the installation does not answer") from error

    async def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._let_go(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def _answer(self, question: Callable[[Estate], Awaitable[T]]) -> T:
        if self._estate is None:
            self._stack = AsyncExitStack()
            try:
                self._estate = await self._stack.enter_async_context(opened(self._settings))
            except NoLog as error:
                raise Unavailable(str(error)) from error
        try:
            return await question(self._estate)
        except BaseException:
            await self._let_go()
            raise
        finally:
            # Files of generations come and go; to open them costs little, while a cluster is worth staying with.
            if not self._settings.kafka:
                await self._let_go()

    async def _let_go(self) -> None:
        stack, self._stack, self._estate = self._stack, None, None
        if stack is not None:
            await stack.aclose()
