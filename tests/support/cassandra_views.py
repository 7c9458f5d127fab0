"""Chat views on a real Cassandra: one node and one generation for a whole run, emptied before each test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from commands.errors import Unavailable
from infra.cassandra.connection import Connection, Contact
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.serialise import Unit
from infra.cassandra.tables import TABLES
from infra.cluster.services import Cassandra

CENTRE = "datacenter1"
"""As SimpleSnitch calls it."""
INCARNATION = "log"

T = TypeVar("T")


def in_thread(work: Callable[[], T]) -> T:
    """Do what runs an event loop of its own, from wherever we are. Blocks."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def contact(node: Cassandra) -> Contact:
    # Patient: other tests may want the machine's cores too.
    return Contact(tuple(node.contact_points), node.ports["cql"], CENTRE, timeout_s=20)


def new_keyspace(connection: Connection, prefix: str) -> str:
    """A generation of its own; takes seconds."""
    generations = Generations(connection, prefix)

    async def make() -> str:
        await generations.prepare({CENTRE: 1})
        return await generations.create(1, {CENTRE: 1})

    return in_thread(lambda: asyncio.run(make()))


def empty(connection: Connection, keyspace: str) -> None:
    """Remove all rows."""

    async def truncate() -> None:
        for table in TABLES:
            await connection.execute(f"TRUNCATE {keyspace}.{table}")

    in_thread(lambda: asyncio.run(truncate()))


def fold_store(keyspace: Keyspace, incarnation: str = INCARNATION, end: int = 10**6) -> CassandraFoldStore:
    """A store for the fold of a log that ends at `end`."""

    async def ends() -> Mapping[int, int]:
        return {0: end}

    return CassandraFoldStore(keyspace, incarnation, ends)


@pytest.fixture(scope="session")
def cassandra_connection(cassandra: Cassandra) -> Iterator[Connection]:
    connection = Connection(contact(cassandra))
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def shared_keyspace(cassandra_connection: Connection) -> str:
    """The name of a generation that all tests share, one after the other."""
    return new_keyspace(cassandra_connection, "shared")


@pytest.fixture
def keyspace(cassandra_connection: Connection, shared_keyspace: str) -> Keyspace:
    """A generation without any row."""
    empty(cassandra_connection, shared_keyspace)
    return Keyspace(cassandra_connection, shared_keyspace)


class FaultyKeyspace(Keyspace):
    """Writes the units of a step in an order of the test's choice, and may break off after some.

    `break_after(number of units)` says after how many a step breaks off; None: not at all.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        break_after: Callable[[int], int | None] = lambda units: None,
        shuffle: Callable[[list[Any]], None] = lambda units: None,
    ) -> None:
        super().__init__(connection, name)
        self.break_after = break_after
        self.shuffle = shuffle

    async def write(self, units: Iterable[Unit]) -> None:
        step = list(units)
        self.shuffle(step)
        stop = self.break_after(len(step))
        await super().write(step if stop is None else step[:stop])
        if stop is not None:
            raise Unavailable("the store broke off")
