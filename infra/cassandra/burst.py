"""Many statements as one future: sent and answered on the driver's thread, with a bound on those under way."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

Row = tuple[Any, ...]

_AHEAD = 32
"""Slots that one burst asks for at a time, so that others get their turn."""


class Slots:
    """Bounds the statements under way on a session, for all bursts together. Usable from any thread."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._thread = threading.local()

    def ask(self, go: Callable[[], None]) -> None:
        """Have `go` called once there is a slot: now, or on a thread that gives one back. First come, first served."""
        with self._lock:
            self._waiting.append(go)
        self._grant()

    def give(self) -> None:
        """Give one back."""
        with self._lock:
            self._free += 1
        self._grant()

    def _grant(self) -> None:
        # A loop and no recursion: where nobody answers, each `go` fails and gives back at once.
        if getattr(self._thread, "is_granting", False):
            return
        self._thread.is_granting = True
        try:
            while True:
                with self._lock:
                    if not (self._free and self._waiting):
                        return
                    self._free -= 1
                    go = self._waiting.popleft()
                go()
        finally:
            self._thread.is_granting = False


class Burst:
    """Runs statements on a driver session. Use once, on a running event loop."""

    def __init__(self, session: Any, statements: Sequence[Any], slots: Slots) -> None:
        self._session = session
        self._statements = statements
        self._slots = slots
        self._rows: list[list[Row]] = [[] for _ in statements]
        self._next: Iterator[int] = iter(range(len(statements)))
        self._asked = 0
        self._left = len(statements)
        self._is_over = False
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> list[list[Row]]:
        """The rows of each statement, all pages of them. Raises what the first failure was; then no further
        statement is sent, but those under way are not called back.
        """
        for _ in range(min(_AHEAD, len(self._statements))):
            self._ask()
        try:
            await self._future
        finally:
            self._is_over = True
        return self._rows

    def _ask(self) -> None:
        with self._lock:
            if self._asked == len(self._statements):
                return
            self._asked += 1
        self._slots.ask(self._send_next)

    def _send_next(self) -> None:
        if self._is_over:
            self._slots.give()
            return
        with self._lock:
            index = next(self._next)
        try:
            response = self._session.execute_async(self._statements[index])
            response.add_callbacks(self._answered, self._fail, callback_args=(index, response))
        except Exception as error:
            self._fail(error)

    def _answered(self, rows: Sequence[Row] | None, index: int, response: Any) -> None:
        try:
            if rows:
                self._rows[index].extend(rows)
            if response.has_more_pages:
                response.start_fetching_next_page()
                return
            _let_go(response)
        except Exception as error:
            self._fail(error)
            return
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._wake(None)
        self._slots.give()
        self._ask()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            is_first, self._is_over = not self._is_over, True
        if is_first:
            self._wake(error)
        self._slots.give()

    def _wake(self, error: BaseException | None) -> None:
        # Whoever ran the loop has gone, and nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: BaseException | None) -> None:
        if self._future.done():
            return  # the waiting task was cancelled
        if error is None:
            self._future.set_result(None)
        else:
            self._future.set_exception(error)


def _let_go(response: Any) -> None:
    """Have what was asked and answered freed now. The driver keeps the timer of a request until the time is up, seconds
    after the answer, and with it all the rows of a batch; what is left then is a circle, a long search for Python.
    """
    response.clear_callbacks()  # they name the response
    timer, response._timer = response._timer, None
    if timer is not None:
        timer.callback = None  # cancelled: it is not called any more
