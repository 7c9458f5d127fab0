"""Generations of the chat views in Cassandra: a keyspace each, and a registry of them.

One process at a time, an operator's, changes the registry and the schema; everybody may read them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from commands.errors import Unavailable
from infra.cassandra.burst import Row
from infra.cassandra.connection import Connection
from infra.cassandra.tables import PROJECTION, TABLES
from streams.registry import POLL_S, Generation, Registered, ServedGeneration

READER_S = 10
"""A reader that has not said for so long which generation it uses does not run any more."""
CLAIM_S = 30
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


class Claimed(Exception):
    """Another process does this right now."""


class Generations:
    """Registry, in the keyspace `prefix`; generation 3 has the keyspace `prefix_g3`. All raise Unavailable."""

    def __init__(self, connection: Connection, prefix: str = "tidings") -> None:
        """Raises ValueError for a prefix that cannot begin the names of keyspaces."""
        if not _NAME.fullmatch(prefix):
            raise ValueError(f"{prefix!r} is not up to 31 lower-case letters, digits and underscores")
        self._connection = connection
        self.prefix = prefix

    def keyspace(self, generation: int) -> str:
        return f"{self.prefix}_g{generation}"

    async def prepare(self, replication: Mapping[str, int]) -> None:
        """Make the registry where there is none. `replication`: data centre → copies."""
        await self._create_keyspace(self.prefix, replication)
        await self._create(
            "generations",
            "projection text, generation int, served int STATIC, previous int STATIC, last int STATIC, "
            "keyspace_name text, state text, paused boolean, verdict text, PRIMARY KEY ((projection), generation)",
        )
        await self._create("readers", "projection text, reader text, generation int, PRIMARY KEY (projection, reader)")
        await self._create("claims", "what text PRIMARY KEY, owner text")

    # --- Registry ----------------------------------------------------------------------------------------------

    async def read(self) -> Registered:
        columns = "served, previous, last, generation, state, paused, verdict"
        rows = await self._rows(f"SELECT {columns} FROM {self.prefix}.generations WHERE projection = ?")
        if not rows or rows[0][0] is None:
            raise Unavailable("no generation of the views is served yet: a worker makes the first one")
        generations = {
            number: Generation(number, state or "followed", bool(paused), verdict or "")
            for _, _, _, number, state, paused, verdict in rows
            if number is not None
        }
        served, previous, last, *_ = rows[0]
        return Registered(served, previous, generations, max(last or 0, served, *generations))

    async def put(self, generation: Generation) -> None:
        await self._do(
            f"UPDATE {self.prefix}.generations SET state = ?, paused = ?, verdict = ?, keyspace_name = ? "
            "WHERE projection = ? AND generation = ?",
            generation.state,
            generation.paused,
            generation.verdict,
            self.keyspace(generation.number),
            PROJECTION,
            generation.number,
        )
        rows = await self._rows(f"SELECT last FROM {self.prefix}.generations WHERE projection = ?")
        last = max([generation.number, *(row[0] for row in rows if row[0] is not None)])
        await self._do(f"UPDATE {self.prefix}.generations SET last = ? WHERE projection = ?", last, PROJECTION)

    async def serve(self, number: int) -> None:
        if number not in await self.all():
            raise KeyError(number)
        before = await self.served()
        if before == number:
            return
        await self._do(
            f"UPDATE {self.prefix}.generations SET served = ?, previous = ? WHERE projection = ?",
            number,
            before,
            PROJECTION,
        )

    async def remove(self, number: int) -> None:
        if number == await self.served():
            raise ServedGeneration(f"generation {number} is served")
        if number in await self.all():
            await self.put(Generation(number, "dropping"))
            # Those who fold it shall have noticed before its tables go.
            await asyncio.sleep(3 * POLL_S)
        await self._connection.execute(f"DROP KEYSPACE IF EXISTS {self.keyspace(number)}")
        await self._do(
            f"DELETE FROM {self.prefix}.generations WHERE projection = ? AND generation = ?", PROJECTION, number
        )
        rows = await self._rows(f"SELECT previous FROM {self.prefix}.generations WHERE projection = ?")
        if rows and rows[0][0] == number:
            await self._do(f"UPDATE {self.prefix}.generations SET previous = null WHERE projection = ?", PROJECTION)

    async def tell(self, reader: str, generation: int) -> None:
        await self._do(
            f"INSERT INTO {self.prefix}.readers (projection, reader, generation) VALUES (?, ?, ?) USING TTL ?",
            PROJECTION,
            reader,
            generation,
            READER_S,
        )

    async def readers(self) -> dict[str, int]:
        return dict(await self._rows(f"SELECT reader, generation FROM {self.prefix}.readers WHERE projection = ?"))

    # --- Keyspaces ---------------------------------------------------------------------------------------------

    async def create(self, generation: int, replication: Mapping[str, int]) -> str:
        """Make the keyspace and tables of a generation, where they are not there yet; gives the keyspace's name."""
        keyspace = self.keyspace(generation)
        await self._create_keyspace(keyspace, replication)
        for table, body in TABLES.items():
            await self._connection.execute(f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} {body}")
        await self._do(
            f"INSERT INTO {self.prefix}.generations (projection, generation, keyspace_name) VALUES (?, ?, ?)",
            PROJECTION,
            generation,
            keyspace,
        )
        return keyspace

    async def all(self) -> dict[int, str]:
        """Generation → keyspace."""
        rows = await self._rows(f"SELECT generation, keyspace_name FROM {self.prefix}.generations WHERE projection = ?")
        return {generation: keyspace for generation, keyspace in rows if generation is not None}

    async def served(self) -> int | None:
        """The generation that readers use, None before the first `serve`."""
        rows = await self._rows(f"SELECT served FROM {self.prefix}.generations WHERE projection = ?")
        served: int | None = rows[0][0] if rows else None
        return served

    # --- One at a time -----------------------------------------------------------------------------------------

    async def claim(self, what: str, life_s: int, owner: str = "") -> bool:
        """Be the one process that does something; the claim runs out by itself."""
        rows = await self._do(
            f"INSERT INTO {self.prefix}.claims (what, owner) VALUES (?, ?) IF NOT EXISTS USING TTL ?",
            what,
            owner,
            life_s,
        )
        return bool(rows[0][0])

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        """Claim something for as long as the block lasts, and this process lives. Raises Claimed."""
        owner = uuid4().hex
        if not await self.claim(what, CLAIM_S, owner):
            raise Claimed(what)
        renewing = asyncio.create_task(self._renew(what, owner))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            # Where Cassandra is away the claim runs out.
            with suppress(Unavailable):
                await self._do(f"DELETE FROM {self.prefix}.claims WHERE what = ? IF owner = ?", what, owner)

    async def _renew(self, what: str, owner: str) -> None:
        while True:
            await asyncio.sleep(CLAIM_S / 4)
            with suppress(Unavailable):
                await self._do(
                    f"UPDATE {self.prefix}.claims USING TTL ? SET owner = ? WHERE what = ? IF owner = ?",
                    CLAIM_S,
                    owner,
                    what,
                    owner,
                )

    # -----------------------------------------------------------------------------------------------------------

    async def _create(self, table: str, columns: str) -> None:
        await self._connection.execute(
            # Two processes may make it at once, by two nodes: under one id it is one table all the same.
            f"CREATE TABLE IF NOT EXISTS {self.prefix}.{table} ({columns}) "
            f"WITH id = {uuid5(NAMESPACE_OID, f'{self.prefix}.{table}')}"
        )

    async def _create_keyspace(self, name: str, replication: Mapping[str, int]) -> None:
        copies = "".join(f", '{centre}': {count}" for centre, count in replication.items())
        await self._connection.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {{'class': 'NetworkTopologyStrategy'{copies}}}"
        )

    async def _rows(self, statement: str) -> list[Row]:
        return await self._do(statement, PROJECTION)

    async def _do(self, statement: str, *values: Any) -> list[Row]:
        link = await self._connection.link((statement,))
        return (await link.run([link[statement].bind(values)]))[0]
