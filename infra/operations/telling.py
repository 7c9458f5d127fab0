"""A process tells of itself, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from api.operations import Process, Roster
from commands.errors import Unavailable

EVERY_S = 5.0

log = logging.getLogger(__name__)


async def tell_of_oneself(roster: Roster, look: Callable[[], Process]) -> None:
    """Until cancelled. `look` gives this process as it is now."""
    is_away = False
    while True:
        try:
            await roster.tell(look())
            is_away = False
        except Unavailable as error:
            if not is_away:
                log.info("nobody can be told that this process runs: %s", error)
            is_away = True
        await asyncio.sleep(EVERY_S)
