"""Generations of the chat views in Cassandra: a keyspace each, and a registry of them.

One process at a time, an operator's, changes the registry and the schema; everybody may read them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from commands.errors import Unavailable
from infra.cassandra.burst import Row
from infra.cassandra.connection import Connection
from infra.cassandra.tables import PROJECTION, TABLES, UNREPAIRED
from streams.registry import POLL_S, Generation, Registered, ServedGeneration

READER_S = 10
"""A reader that has not said for so long which generation it uses does not run any more."""
CLAIM_S = 30
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


class Claimed(Exception):
    """Another process does this right now."""


@dataclass(slots=True)
class _Everything:
    """The registry as it stands."""

    served: int | None = None
    previous: int | None = None
    last: int = 0
    keyspaces: dict[int, str] = field(default_factory=dict)
    generations: dict[int, Generation] = field(default_factory=dict)


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
        registered = await self._registered()
        if registered.served is None:
            raise Unavailable("no generation of the views is served yet: a worker makes the first one")
        generations, served = registered.generations, registered.served
        return Registered(served, registered.previous, generations, max(registered.last, served, *generations))

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
        last = max(generation.number, (await self._registered()).last)
        await self._do(f"UPDATE {self.prefix}.generations SET last = ? WHERE projection = ?", last, PROJECTION)

    async def serve(self, number: int) -> None:
        registered = await self._registered()
        if number not in registered.keyspaces:
            raise KeyError(number)
        # Also where it is served already: whoever wrote that may have reached one node, and given up.
        await self._do(
            f"UPDATE {self.prefix}.generations SET served = ?, previous = ? WHERE projection = ?",
            number,
            registered.previous if registered.served == number else registered.served,
            PROJECTION,
        )

    async def remove(self, number: int) -> None:
        if number == await self.served():
            raise ServedGeneration(f"generation {number} is served")
        await self._check_unread(number)
        if number in await self.all():
            await self.put(Generation(number, "dropping"))
            # Those who fold it shall have noticed before its tables go.
            await asyncio.sleep(3 * POLL_S)
            await self._check_unread(number)
        await self._connection.execute(f"DROP KEYSPACE IF EXISTS {self.keyspace(number)}")
        await self._do(
            f"DELETE FROM {self.prefix}.generations WHERE projection = ? AND generation = ?", PROJECTION, number
        )
        if (await self._registered()).previous == number:
            await self._do(f"UPDATE {self.prefix}.generations SET previous = null WHERE projection = ?", PROJECTION)

    async def _check_unread(self, number: int) -> None:
        """A gateway that is to use another one reads this until that one has all that its readers know of."""
        users = sorted(reader for reader, used in (await self.readers()).items() if used == number)
        if users:
            raise ServedGeneration(f"generation {number} is still read by {', '.join(users)}")

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
        return (await self._registered()).keyspaces

    async def served(self) -> int | None:
        """The generation that readers use, None before the first `serve`."""
        return (await self._registered()).served

    async def unrepaired(self) -> list[str]:
        """Keyspaces, made by an earlier release, in which readers may write a part of a chat's head (ADR 0060)."""
        found = []
        for keyspace in filter(None, (await self.all()).values()):
            rows = await self._do(
                "SELECT read_repair FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?",
                keyspace,
                UNREPAIRED,
            )
            found += [keyspace for (setting,) in rows if setting != "NONE"]
        return found

    async def unrepair(self, keyspace: str) -> None:
        """Mend that. One process at a time."""
        await self._connection.execute(f"ALTER TABLE {keyspace}.{UNREPAIRED} WITH read_repair = 'NONE'")

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

    async def _registered(self) -> _Everything:
        """All columns at once, always: what a reader asks for is what Cassandra brings to replicas that lack it."""
        columns = "served, previous, last, generation, keyspace_name, state, paused, verdict"
        rows = await self._rows(f"SELECT {columns} FROM {self.prefix}.generations WHERE projection = ?")
        found = _Everything()
        for served, previous, last, number, keyspace, state, paused, verdict in rows:
            found.served, found.previous, found.last = served, previous, last or 0
            if number is not None:
                found.keyspaces[number] = keyspace
                found.generations[number] = Generation(number, state or "followed", bool(paused), verdict or "")
        return found

    async def _do(self, statement: str, *values: Any) -> list[Row]:
        link = await self._connection.link((statement,))
        return (await link.run([link[statement].bind(values)]))[0]
