"""The generation of the chat views that is served, as gateways read it: found in the registry, followed when another
one takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from commands.chat import Chat, Member
from commands.errors import Unavailable
from infra.cassandra.connection import Connection
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.queries import CassandraChatViews
from projections.ports import Entry, FirstUse, Page, Refused, Summary

LOOK_S = 5.0

log = logging.getLogger(__name__)


class ServedViews:
    """`ChatViews` of whatever generation is served. A gateway may start before Cassandra can be reached."""

    def __init__(self, connection: Connection, generations: Generations) -> None:
        self._connection = connection
        self._generations = generations
        self._generation: int | None = None
        self._views: CassandraChatViews | None = None

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Unavailable as error:
                log.info("which generation is served cannot be asked: %s", error)

    async def look(self) -> CassandraChatViews:
        """Ask the registry. Raises Unavailable, also where no worker has made the views yet."""
        served = await self._generations.served()
        if served is None:
            raise Unavailable("no generation of the views is served yet: a worker makes the first one")
        if self._views is None or served != self._generation:
            log.info("generation %d of the views is served", served)
            self._views = CassandraChatViews(Keyspace(self._connection, self._generations.keyspace(served)))
            self._generation = served
        return self._views

    async def _now(self) -> CassandraChatViews:
        return self._views or await self.look()

    async def ping(self) -> None:
        """Return if the views answer. Raises Unavailable."""
        await (await self._now()).ping()

    async def positions(self) -> dict[int, int]:
        """Partition → next offset that the fold wants. Raises Unavailable."""
        return await (await self._now()).reached()

    async def chat(self, chat_id: str) -> Chat | None:
        return await (await self._now()).chat(chat_id)

    async def chats_of(self, user_id: str) -> list[str]:
        return await (await self._now()).chats_of(user_id)

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        return await (await self._now()).summaries(user_id, chat_ids)

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        return await (await self._now()).members(chat_id, after, limit)

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await (await self._now()).entries_after(chat_id, seq, limit, messages_only)

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await (await self._now()).entries_before(chat_id, seq, limit, messages_only)

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        return await (await self._now()).entries_at(keys)

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        return await (await self._now()).first_use(chat_id, message_id)

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None:
        return await (await self._now()).refused_at(chat_id, offset)

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        return await (await self._now()).seq_before(chat_id, at_us)
