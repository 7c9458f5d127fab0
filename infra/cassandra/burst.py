"""Many statements as one future: sent and answered on the driver's thread, with a bound on those under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

Row = tuple[Any, ...]


class Burst:
    """Runs statements on a driver session. Use once, on a running event loop."""

    def __init__(self, session: Any, statements: Sequence[Any], at_once: int) -> None:
        self._session = session
        self._statements = statements
        self._at_once = at_once
        self._rows: list[list[Row]] = [[] for _ in statements]
        self._next: Iterator[int] = iter(range(len(statements)))
        self._left = len(statements)
        self._failed = False
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> list[list[Row]]:
        """The rows of each statement, all pages of them. Raises what the first failure was; then no further
        statement is sent, but those under way are not called back.
        """
        for _ in range(min(self._at_once, len(self._statements))):
            self._send_next()
        await self._future
        return self._rows

    def _send_next(self) -> None:
        with self._lock:
            index = None if self._failed else next(self._next, None)
        if index is None:
            return
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
            response.clear_callbacks()  # they name the response: a circle
        except Exception as error:
            self._fail(error)
            return
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._wake(None)
        else:
            self._send_next()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            is_first, self._failed = not self._failed, True
        if is_first:
            self._wake(error)

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
