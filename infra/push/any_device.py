"""Whether there is a device at all: in most systems there is, but while there is none, notes cost nothing."""

from __future__ import annotations

import asyncio
import logging

from commands.devices import DeviceStore
from commands.errors import Unavailable

logger = logging.getLogger(__name__)

LOOK_S = 1.0
BELIEVED_S = 2.0
"""For so long a worker goes by having found none. Whoever names the first device hears only after that."""


class HeardOf:
    """Where devices are named in this very process."""

    def __init__(self) -> None:
        self.is_there = False

    def __call__(self) -> bool:
        return self.is_there

    async def note(self, is_first: bool) -> None:
        self.is_there = True


class LookedFor:
    """Where they are named elsewhere: asked for again and again until there is one. In doubt there is."""

    def __init__(self) -> None:
        self._none_at: float | None = None

    def __call__(self) -> bool:
        return self._none_at is None or asyncio.get_running_loop().time() > self._none_at + BELIEVED_S

    async def run(self, devices: DeviceStore) -> None:
        """Look until there is one, then for ever rest."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            try:
                if await devices.any():
                    break
                self._none_at = asked_at
            except Unavailable as error:
                logger.info("whether there are devices cannot be asked: %s", error)
            await asyncio.sleep(LOOK_S)
        self._none_at = None
        await asyncio.Event().wait()


async def until_workers_know(is_first: bool) -> None:
    """What whoever names a device waits for: from then on every message is pushed to it."""
    if is_first:
        await asyncio.sleep(BELIEVED_S)
