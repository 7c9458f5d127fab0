"""Generations: made beside each other, served one at a time, dropped when nobody reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from commands.errors import Unavailable
from events.types import ChatCreated
from infra.cassandra.connection import Connection
from infra.cassandra.first import served_or_first
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from streams.batch import BatchFold
from streams.registry import ServedGeneration
from tests.support.cassandra_views import CENTRE, fold_store, in_thread
from tests.support.history import ANA, ROOM, History

pytestmark = pytest.mark.needs("cassandra")
ONE_COPY = {CENTRE: 1}


@pytest.fixture
def generations(cassandra_connection: Connection) -> Iterator[Generations]:
    made = Generations(cassandra_connection, "several")
    yield made

    async def drop() -> None:
        for keyspace in ("several", *(await made.all()).values()):
            await cassandra_connection.execute(f"DROP KEYSPACE {keyspace}")

    in_thread(lambda: asyncio.run(drop()))


async def test_a_generation_is_folded_beside_the_served_one_then_served_and_the_old_one_dropped(
    generations: Generations, cassandra_connection: Connection
) -> None:
    for _ in range(2):  # again: no error, no loss
        await generations.prepare(ONE_COPY)
    assert (await generations.served(), await generations.all()) == (None, {})
    first = await generations.create(1, ONE_COPY)
    await generations.serve(1)
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "all", [ANA]))
    served = fold_store(Keyspace(cassandra_connection, first))
    await served.apply(await BatchFold(served).fold(history.records))

    second = await generations.create(2, ONE_COPY)
    assert await generations.create(1, ONE_COPY) == first
    assert await generations.all() == {1: first, 2: second}
    assert await generations.served() == 1
    rebuilt = fold_store(Keyspace(cassandra_connection, second))
    assert (await served.positions(), await rebuilt.positions()) == ({0: 1}, {})
    assert await rebuilt.chat(ROOM) is None
    await rebuilt.apply(await BatchFold(rebuilt).fold(history.records))
    assert rebuilt.hash() == served.hash()

    with pytest.raises(ServedGeneration):
        await generations.remove(1)
    with pytest.raises(KeyError):
        await generations.serve(3)
    await generations.serve(2)
    assert await generations.served() == 2
    # A gateway that has not moved yet keeps its views, and they go on being folded.
    await generations.tell("gateway-1", 1)
    with pytest.raises(ServedGeneration, match="gateway-1"):
        await generations.remove(1)
    assert (await generations.read()).generations[1].state == "followed"
    await generations.tell("gateway-1", 2)
    await generations.remove(1)
    assert await generations.all() == {2: second}
    with pytest.raises(Unavailable):
        await served.ping()
    assert await rebuilt.chat(ROOM) is not None


async def test_tables_of_an_earlier_release_are_altered_as_a_worker_starts(cassandra_connection: Connection) -> None:
    generations = Generations(cassandra_connection, "older")
    assert await served_or_first(cassandra_connection, generations, 1) == 1
    assert await generations.unrepaired() == []
    keyspace = await generations.create(2, ONE_COPY)
    await cassandra_connection.execute(f"ALTER TABLE {keyspace}.chats WITH read_repair = 'BLOCKING'")
    assert await generations.unrepaired() == [keyspace]
    assert await served_or_first(cassandra_connection, generations, 1) == 1
    assert await generations.unrepaired() == []


async def test_who_serves_what_is_served_already_writes_it_again(cassandra_connection: Connection) -> None:
    """Whoever wrote it may have reached one node, and been told that it was unknown."""
    generations = Generations(cassandra_connection, "again")
    await generations.prepare(ONE_COPY)
    for number in (1, 2):
        await generations.create(number, ONE_COPY)
        await generations.serve(number)
    await generations.serve(2)
    registered = await generations.read()
    assert (registered.served, registered.previous) == (2, 1)


@pytest.mark.parametrize("prefix", ["", "Upper", "1st", "a-b", "a b", "x" * 32, 'a"; DROP'])
def test_a_prefix_must_be_able_to_name_keyspaces(prefix: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        Generations(Connection.__new__(Connection), prefix)
