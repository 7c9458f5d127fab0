"""Time for whatever waits: a monotonic clock and calls in the future."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """`asyncio.AbstractEventLoop` fits; tests move a clock of their own."""

    def time(self) -> float:
        """Seconds on a clock that never runs backwards."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Cancellable: ...


async def pause(timers: Timers, delay_s: float) -> None:
    """Wait on these timers."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handle = timers.call_later(delay_s, _finish, over)
    try:
        await over
    finally:
        handle.cancel()


def _finish(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
