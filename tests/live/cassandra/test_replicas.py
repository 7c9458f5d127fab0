"""What one of three replicas has alone: no reader may spread a part of it, and no fold rely on it (ADR 0060)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT

from commands.errors import Unavailable
from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated, MemberAdded, MessageRead, MessageSent
from infra.cassandra.connection import Connection, Contact, cluster_of
from infra.cassandra.first import served_or_first
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.serialise import Serialiser
from infra.cluster.services import QUICK, Cassandra
from projections.ports import Changes
from streams.batch import BatchFold
from tests.contracts.adversary import Adversary
from tests.contracts.test_fold_properties import play
from tests.support.cassandra_views import CENTRE, INCARNATION, contact, fold_store, in_thread
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM, History
from tests.support.needs import require

pytestmark = [pytest.mark.needs("cassandra"), pytest.mark.heavy]

PATIENCE_S = 120.0
SURE = 6
"""Records that a quorum has."""
ALONE = 9
"""Records of which the head is on the first node alone."""


class Unhinted(Cassandra):
    """Keeps nothing for nodes that are away, as one that was away for over three hours finds it."""

    def _settings(self) -> dict[str, object]:
        return super()._settings() | {"hinted_handoff_enabled": False}


@pytest.fixture(scope="module")
def nodes(service_folder: Path) -> Iterator[list[Cassandra]]:
    require("cassandra")
    made: list[Cassandra] = []
    for node in (1, 2, 3):
        ports = made[0].ports if made else {}
        made.append(
            Unhinted(
                service_folder / f"replica-{node}",
                name=f"replica-{node}",
                node=node,
                port=ports.get("cql"),
                storage_port=ports.get("storage"),
                heap_mb=512,
                jvm_options=QUICK,
            )
        )
    for each in made:
        each.peers = made
    for each in made:
        each.start()
    yield made
    for each in made:
        each.kill()


def at_one(where: Contact) -> Any:
    """A client that is content with one replica, as a worker is that died before it heard of a second."""
    cluster = cluster_of(where)
    cluster.profile_manager.profiles[EXEC_PROFILE_DEFAULT].consistency_level = ConsistencyLevel.ONE
    return cluster


@pytest.fixture
def connect(nodes: list[Cassandra]) -> Iterator[Callable[..., Connection]]:
    made: list[Connection] = []

    def connection(make_cluster: Callable[[Contact], Any] | None = None) -> Connection:
        made.append(Connection(replace(contact(nodes[0]), timeout_s=10), make_cluster=make_cluster))
        return made[-1]

    yield connection
    for each in made:
        each.close()


async def patiently(call: Callable[[], Any]) -> Any:
    """What `call` gives as soon as there is a quorum that answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.2)  # nobody tells when a node is back: one asks


@pytest.fixture(scope="module")
def records() -> list[Record]:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", True, "all", [ANA, BEN]))
    for number in range(4):
        history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=number)), "TEXT", b"x"))
    history.add(ANA, MessageRead(3))
    history.add(ANA, MemberAdded(CLEO))  # from here on: one node alone
    history.add(CLEO, MessageSent(uuid7(NOON + timedelta(seconds=10)), "TEXT", b"x"))
    history.add(ANA, MessageRead(7))
    history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=11)), "TEXT", b"x"))
    history.add(CLEO, MessageSent(uuid7(NOON + timedelta(seconds=12)), "TEXT", b"x"))
    return history.records


async def fold_from_its_position(store: CassandraFoldStore, records: list[Record]) -> None:
    """As a worker that has just taken the partition over."""
    begin = (await store.positions()).get(0, 0)
    await store.apply(await BatchFold(store).fold(records[begin:]))


@pytest.mark.timeout(600)
async def test_what_one_replica_has_alone_is_neither_spread_in_part_nor_relied_on(
    nodes: list[Cassandra], connect: Callable[..., Connection], records: list[Record]
) -> None:
    everything = in_thread(lambda: play(Adversary(), records))
    connection = connect()
    generations = Generations(connection, "replicas")
    copies = {CENTRE: 3}
    await patiently(lambda: generations.prepare(copies))
    names = [await patiently(partial(generations.create, number, copies)) for number in (1, 2)]
    await generations.serve(1)
    # As an earlier release left its tables.
    await connection.execute(f"ALTER TABLE {names[0]}.chats WITH read_repair = 'BLOCKING'")
    assert await served_or_first(connection, generations) == 1
    assert await generations.unrepaired() == []

    # Rows are on a quorum before any head is written, then the worker reaches one node, and dies.
    heads: list[tuple[str, Changes]] = []
    for name in names:
        keyspace = Keyspace(connection, name)
        store = fold_store(keyspace)
        core = BatchFold(store)
        await store.apply(await core.fold(records[:SURE]))
        changes = await core.fold(records[SURE:ALONE])
        await keyspace.write(Serialiser(keyspace.writes, INCARNATION).rows(changes))
        heads.append((name, changes))
    for node in nodes[1:]:
        await asyncio.to_thread(node.kill)
    alone = connect(at_one)
    for name, changes in heads:
        keyspace = Keyspace(alone, name)
        units = list(Serialiser(keyspace.writes, INCARNATION).heads(changes))
        await patiently(partial(keyspace.write, units))

    # The first and the second node: gateways read of one keyspace; a worker goes on in the other.
    await asyncio.to_thread(nodes[1].start)
    reader = fold_store(Keyspace(connect(), names[0]))
    await patiently(reader.ping)
    assert [each.seq for each in (await patiently(lambda: reader.entries_after(ROOM, 0, 50))).entries][-1] == 7
    # Not its summary too: of so small a chat that reads all there is, which would make the half of it whole again.
    await reader.unread_of([ANA, CLEO])
    successor = fold_store(Keyspace(connect(), names[1]))
    await patiently(lambda: fold_from_its_position(successor, records[:ALONE]))

    # The second and the third: the first, with what it had alone, is gone.
    await asyncio.to_thread(nodes[0].kill)
    await asyncio.to_thread(nodes[2].start)
    for name in names:
        store = fold_store(Keyspace(connect(), name))
        await patiently(store.positions)
        await patiently(partial(fold_from_its_position, store, records))
        assert list(store.rows()) == everything, name
