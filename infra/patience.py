"""Waiting, at the start of a process, for services that start at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from commands.errors import Unavailable

PATIENCE_S = 120.0
AGAIN_S = 0.5
TELL_S = 5.0

log = logging.getLogger(__name__)

T = TypeVar("T")


async def patiently(what: str, call: Callable[[], Awaitable[T]], patience_s: float = PATIENCE_S) -> T:
    """What `call` gives once it no longer raises Unavailable; says now and then what is waited for.

    Raises Unavailable when patience ends.
    """
    loop = asyncio.get_running_loop()
    until, tell_at = loop.time() + patience_s, loop.time()
    while True:
        try:
            return await call()
        except Unavailable as error:
            now = loop.time()
            if now >= until:
                raise Unavailable(f"{what} did not come within {patience_s:.0f} s: {error}") from error
            if now >= tell_at:
                log.warning("waiting for %s: %s", what, error)
                tell_at = now + TELL_S
        await asyncio.sleep(AGAIN_S)
