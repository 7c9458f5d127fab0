"""The first generation of a new installation, made by one of the workers that find none."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from infra.cassandra.connection import Connection
from infra.cassandra.generations import Generations

COPIES = 3
MAKING_S = 120
"""Whoever began to make the views and is not done by then has died."""
_MOMENT_S = 0.5

log = logging.getLogger(__name__)


async def replication(connection: Connection, copies: int | None = None) -> Mapping[str, int]:
    """Data centre → copies: as many as asked for, else three, and never more than it has nodes. Raises Unavailable."""
    hosts = (await connection.link()).cluster.metadata.all_hosts()
    nodes = Counter(host.datacenter for host in hosts)
    return {centre: min(copies or COPIES, count) for centre, count in nodes.items()}


async def served_or_first(connection: Connection, generations: Generations, copies: int | None = None) -> int:
    """The generation that is served; generation 1, made now, where there is none. Tables of an earlier release are
    altered to what they are today. Raises Unavailable.

    Cassandra does not like its schema changed by two at once, so only one worker makes it and the others wait.
    """
    await generations.prepare(await replication(connection, copies))
    while (served := await generations.served()) is None:
        if await generations.claim("make the first generation", MAKING_S):
            log.info("making the first generation of the views")
            await generations.create(1, await replication(connection, copies))
            await generations.serve(1)
        await asyncio.sleep(_MOMENT_S)
    while keyspaces := await generations.unrepaired():
        if await generations.claim("mend the tables", MAKING_S):
            for keyspace in keyspaces:
                log.warning("heads in %s are not repaired by readers any more (read_repair = 'NONE')", keyspace)
                await generations.unrepair(keyspace)
        else:
            await asyncio.sleep(_MOMENT_S)
    return served
