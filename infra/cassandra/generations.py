"""Generations of the chat views: a keyspace each, and a registry that says which one is served.

One process at a time, an operator's, changes the registry and the schema; everybody may read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import NAMESPACE_OID, uuid5

from infra.cassandra.burst import Row
from infra.cassandra.connection import Connection
from infra.cassandra.tables import PROJECTION, TABLES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


class ServedGeneration(Exception):
    """The generation that readers use now cannot be dropped."""


class Generations:
    """The registry in the keyspace `prefix`; generation 3 has the keyspace `prefix_g3`. All raise Unavailable."""

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
        await self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.prefix}.generations (projection text, generation int, "
            "served int STATIC, keyspace_name text, PRIMARY KEY ((projection), generation)) "
            # Two processes may make it at once, by two nodes: under one id it is one table all the same.
            f"WITH id = {uuid5(NAMESPACE_OID, f'{self.prefix}.generations')}"
        )

    async def create(self, generation: int, replication: Mapping[str, int]) -> str:
        """Make the keyspace and tables of a generation, where they are not there yet; gives the keyspace's name."""
        keyspace = self.keyspace(generation)
        await self._create_keyspace(keyspace, replication)
        for table, body in TABLES.items():
            await self._connection.execute(f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} {body}")
        await self._connection.execute(
            f"INSERT INTO {self.prefix}.generations (projection, generation, keyspace_name) "
            f"VALUES ('{PROJECTION}', {generation}, '{keyspace}')"
        )
        return keyspace

    async def all(self) -> dict[int, str]:
        """Generation → keyspace."""
        rows = await self._rows("generation, keyspace_name")
        return {generation: keyspace for generation, keyspace in rows if generation is not None}

    async def claim(self, what: str, life_s: int) -> bool:
        """Be the one process that does something once; the claim runs out by itself."""
        statement = (
            f"INSERT INTO {self.prefix}.generations (projection, generation) VALUES (?, 0) IF NOT EXISTS USING TTL ?"
        )
        link = await self._connection.link((statement,))
        rows = await link.run([link[statement].bind((f"claim: {what}", life_s))])
        return bool(rows[0][0][0])

    async def served(self) -> int | None:
        """The generation that readers use, None before the first `serve`."""
        rows = await self._rows("served")
        served: int | None = rows[0][0] if rows else None
        return served

    async def serve(self, generation: int) -> None:
        """Let readers use this generation. Raises KeyError where it was not created."""
        if generation not in await self.all():
            raise KeyError(generation)
        await self._connection.execute(
            f"UPDATE {self.prefix}.generations SET served = {generation} WHERE projection = '{PROJECTION}'"
        )

    async def drop(self, generation: int) -> None:
        """Remove a generation's tables and name. Raises ServedGeneration."""
        if generation == await self.served():
            raise ServedGeneration(f"generation {generation} is served")
        await self._connection.execute(f"DROP KEYSPACE IF EXISTS {self.keyspace(generation)}")
        await self._connection.execute(
            f"DELETE FROM {self.prefix}.generations WHERE projection = '{PROJECTION}' AND generation = {generation}"
        )

    async def _create_keyspace(self, name: str, replication: Mapping[str, int]) -> None:
        copies = "".join(f", '{centre}': {count}" for centre, count in replication.items())
        await self._connection.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {{'class': 'NetworkTopologyStrategy'{copies}}}"
        )

    async def _rows(self, columns: str) -> list[Row]:
        statement = f"SELECT {columns} FROM {self.prefix}.generations WHERE projection = ?"
        link = await self._connection.link((statement,))
        return (await link.run([link[statement].bind((PROJECTION,))]))[0]
