"""Waiting for stores that are away: who needs the answer waits, nobody else does."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.ws.local import Shared
from commands.errors import Unavailable
from commands.timers import pause

log = logging.getLogger(__name__)

RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)

T = TypeVar("T")


async def persist(shared: Shared, what: str, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until a store answers, few at a time. `what` names who waits, for the log."""
    failures = 0
    while True:
        try:
            async with shared.reading:
                return await ask()
        except Unavailable:
            if failures == 0:
                log.warning("%s waits for a store", what, exc_info=True)
            await retry_pause(shared, failures)
            failures += 1


async def retry_pause(shared: Shared, failures: int) -> None:
    """Wait before the next attempt, longer after more failures, up to a second."""
    await pause(shared.timers, RETRY_S[min(failures, len(RETRY_S) - 1)])
