"""A town on both gateways of the shared cluster, talking while things break, and what must be true afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import httpx

from infra.cassandra.connection import Connection, Contact
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from infra.kafka.log import KafkaLog
from tests.faults.views import Truth
from tests.support.cluster import Cluster, Node
from tests.support.town import SETTLE_S, Town, check_heard, client, settle, settle_town, settled, talking

PACE_S = 0.2
SOME = 10
"""Acknowledgements of each client before, during and after."""
LOOK_S = 0.1


async def spread(cluster: Cluster) -> Town:
    """People at both gateways."""
    here, there = cluster.gateways
    return await settle_town(here, Random(1), PACE_S, there)


@asynccontextmanager
async def under_load(town: Town) -> AsyncIterator[None]:
    """Everybody talks while the block runs; afterwards nothing may be lost, doubled or unheard."""
    async with client(town.server) as http, talking(town):
        await town.speak_up()
        await more_acks(town)
        yield
        await more_acks(town)
        chats = await settled(town, http)
    check_heard(town, chats)


async def more_acks(town: Town, count: int = SOME) -> None:
    """Return when every talker has so many more answers from the log."""
    wanted = {talker.name: len(talker.books.acked) + count for talker in town.talkers}
    for talker in town.talkers:
        await settle(talker, lambda talker=talker: len(talker.books.acked) >= wanted[talker.name])  # type: ignore[misc]


async def heard_more(town: Town) -> None:
    """Return when every talker has heard something that was not said yet when this was called."""
    before = {talker.name: sum(map(len, talker.heard.values())) for talker in town.talkers}
    for talker in town.talkers:
        await settle(
            talker,
            lambda talker=talker: sum(map(len, talker.heard.values())) > before[talker.name] + SOME,  # type: ignore[misc]
        )


async def readiness(node: Node) -> tuple[int, list[str]]:
    async with httpx.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{node.url}/readyz")
    return answer.status_code, answer.json().get("degraded", [])


async def becomes(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Wait until asking gives what is wanted."""
    until = asyncio.get_running_loop().time() + SETTLE_S
    while (found := await ask()) != wanted:
        assert asyncio.get_running_loop().time() < until, f"{found}, not {wanted}"
        await asyncio.sleep(LOOK_S)


async def check_views(cluster: Cluster) -> None:
    """The views are what a fold of the whole log gives."""
    cassandra = Connection(Contact(tuple(cluster.cassandra.contact_points), cluster.cassandra.ports["cql"]))
    log = await KafkaLog.open(cluster.kafka.bootstrap, 1)
    try:
        generations = Generations(cassandra, cluster.settings["TIDINGS_CASSANDRA_KEYSPACE"])
        served = await generations.served()
        assert served is not None
        assert await Truth(log, Keyspace(cassandra, generations.keyspace(served))).difference(60) is None
    finally:
        await log.close()
        cassandra.close()
