"""The generation of the chat views that is served, as gateways read it: found in the registry, followed when another
one takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from commands.errors import Unavailable
from infra.cassandra.connection import Connection
from infra.cassandra.generations import READER_S, Generations
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.queries import CassandraChatViews
from projections.served import ServedViews
from streams.registry import POLL_S

SETTLE_S = 2.0
"""From noticing a switch until this gateway moves: by then workers publish only what both generations have."""
_MOMENT_S = 0.05

log = logging.getLogger(__name__)


class RegisteredViews(ServedViews):
    """`ChatViews` of whatever generation is served. A gateway may start before Cassandra can be reached."""

    def __init__(self, connection: Connection, generations: Generations, name: str) -> None:
        """`name`: of this process."""
        self._connection = connection
        self._generations = generations
        self._name = name
        self._generation: int | None = None
        self._views: CassandraChatViews | None = None
        self._told_at = 0.0
        self.told: Callable[[], Collection[tuple[int, int]]] = tuple
        """(partition, offset) that readers may know to be in the views: another generation must have that too."""

    @property
    def generation(self) -> int | None:
        """The one that readers use; None until it is known."""
        return self._generation

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.info("which generation is served cannot be asked: %s", error)
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Ask the registry, and move if it says so. Raises Unavailable, also where no worker has made the views yet."""
        while (served := await self._served()) != self._generation:
            views = CassandraChatViews(Keyspace(self._connection, self._generations.keyspace(served)))
            if self._views is None or await self._caught_up(views, served):
                self._views, self._generation = views, served
                self._told_at = 0.0
                log.info("generation %d of the views is served", served)
        await self._tell()

    async def _served(self) -> int:
        served = await self._generations.served()
        if served is None:
            raise Unavailable("no generation of the views is served yet: a worker makes the first one")
        return served

    async def _tell(self) -> None:
        """Say now and then which one readers use here: it must not be dropped."""
        now = asyncio.get_running_loop().time()
        if self._generation is not None and (now >= self._told_at + READER_S / 4 or not self._told_at):
            await self._generations.tell(self._name, self._generation)
            self._told_at = now

    async def now(self) -> CassandraChatViews:
        if self._views is None:
            await self.look()
        assert self._views is not None, "look gives views or raises"
        return self._views

    async def positions(self) -> dict[int, int]:
        """Partition → next offset that the fold wants. Raises Unavailable."""
        return await (await self.now()).reached()

    async def _caught_up(self, views: CassandraChatViews, generation: int) -> bool:
        """Wait until they have all that readers may know of. False if another generation is to be served meanwhile.

        Until then this process goes on to use, and to name, the one that it has.
        """
        loop = asyncio.get_running_loop()
        look_at, move_at = loop.time() + POLL_S, loop.time() + SETTLE_S
        while True:
            await self._tell()
            if loop.time() >= look_at:
                if await self._served() != generation:
                    return False
                look_at = loop.time() + POLL_S
            if loop.time() >= move_at:
                reached = await views.reached()
                if all(reached.get(partition, 0) >= offset for partition, offset in self.told()):
                    return True
            await asyncio.sleep(_MOMENT_S)
