"""One generation's tables over a connection: its statements, prepared, and where its partitions live."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cassandra.query import BoundStatement

from infra.cassandra.batches import ReplicaSets, batched
from infra.cassandra.burst import Row
from infra.cassandra.connection import Connection, Link
from infra.cassandra.errors import translated
from infra.cassandra.serialise import Unit
from infra.cassandra.statements import Reads, Writes
from infra.cassandra.tables import key_of

_AT_ONCE = 40
"""Partitions that one statement reads."""
_PAGE_ROWS = 20_000
"""Rows of one answer; more than 40 chats in short have."""


class Keyspace:
    """Reads and writes of one generation. All raise Unavailable."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self.reads = Reads.on(name)
        self.writes = Writes.on(name)
        self._connection = connection
        self._statements = (*self.reads.all(), *self.writes.all())
        self._link: Link | None = None
        self._sets = ReplicaSets(None, name)
        self._query_ids: dict[str, bytes] = {}

    async def link(self) -> Link:
        """The link, with all statements prepared."""
        link = await self._connection.link(self._statements)
        if link is not self._link:
            self._sets = ReplicaSets(link.cluster.metadata, self.name)
            self._query_ids = {statement: link[statement].query_id for statement in self.writes.all()}
            self._link = link
        return link

    async def write(self, units: Iterable[Unit]) -> None:
        """Return once a quorum has everything. Raises Unavailable: then any part may be written, now or later."""
        link = await self.link()
        self._sets.refresh()
        await link.run(batched(units, self._sets, self._query_ids, self.name))

    async def on_disk(self) -> None:
        """Return when all that was acknowledged before is on the disks of those who acknowledged it, as far as they
        say when that is."""
        if wait_s := (await self.link()).on_disk_after_s:
            await asyncio.sleep(wait_s)

    async def read(self, statement: str, *keys: Sequence[Any]) -> list[list[Row]]:
        """One read for each tuple of values, the first of them an id; the rows of each."""
        return await self._read(statement, keys, _PAGE_ROWS)

    async def read_unpaged(self, statement: str, *keys: Sequence[Any]) -> list[list[Row]]:
        """The same, each as of one moment, however long."""
        return await self._read(statement, keys, None)

    def read_now(self, statement: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Any statement, blocking: rows, fetched page by page. For tools."""
        link = self._connection.link_now((statement,))
        with translated():
            yield from link.session.execute(_paged(link[statement].bind(values), _PAGE_ROWS))

    async def _read(self, statement: str, keys: Sequence[Sequence[Any]], page_rows: int | None) -> list[list[Row]]:
        if not keys:
            return []
        link = await self.link()
        prepared = link[statement]
        return await link.run([_paged(prepared.bind(_keyed(values)), page_rows) for values in keys])

    async def read_one(self, statement: str, *values: Any) -> list[Row]:
        return (await self.read(statement, values))[0]

    async def read_in(self, statement: str, keys: Iterable[str], *more: Any) -> list[Row]:
        """Rows of all partitions of a statement with `IN ?`, those of one set of replicas in one read; `more`: its
        other values."""
        await self.link()
        self._sets.refresh()
        by_set: dict[int, list[str]] = {}
        for key in map(key_of, keys):
            by_set.setdefault(self._sets.of(key.encode()), []).append(key)
        return await self.read_routed(
            statement,
            [
                (listed[start].encode(), (listed[start : start + _AT_ONCE], *more))
                for listed in by_set.values()
                for start in range(0, len(listed), _AT_ONCE)
            ],
        )

    async def set_of(self, partition: bytes) -> int:
        """The number of the set of replicas that has a partition."""
        await self.link()
        return self._sets.of(partition)

    async def read_routed(self, statement: str, reads: Iterable[tuple[bytes, Sequence[Any]]]) -> list[Row]:
        """Rows of a statement for each (partition whose replicas are asked, values)."""
        link = await self.link()
        bound = []
        for partition, values in reads:
            routed = _Routed(link[statement])
            routed.bind(values)
            routed.routing_key = partition
            bound.append(_paged(routed, _PAGE_ROWS))
        return [row for rows in await link.run(bound) for row in rows]


class _Routed(BoundStatement):  # type: ignore[misc]
    """A statement that leads to the replicas of one of its partitions, which `IN ?` hides from the driver."""

    routing_key: bytes | None = None


def _keyed(values: Sequence[Any]) -> tuple[Any, ...]:
    return (key_of(values[0]), *values[1:]) if values else ()


def _paged(statement: Any, rows: int | None) -> Any:
    statement.fetch_size = rows
    return statement
