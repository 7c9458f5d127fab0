"""What the cluster's views hold, against a rebuild from the beginning of its log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from commands.errors import Unavailable
from infra.cassandra.connection import Connection, Contact
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.logical import logical_rows
from infra.cassandra.queries import CassandraChatViews
from infra.cli.hashing import first_difference
from infra.cluster.local import LocalCluster
from infra.kafka.log import KafkaLog
from infra.sqlite.views import SqliteViews
from projections.logical import hash_of
from streams.rebuild import fold_up_to

_POLL_S = 0.1


class Behind(Exception):
    """The fold did not reach the log's end in time."""


class Truth:
    """The cluster's log, and the served generation of its views."""

    def __init__(self, log: KafkaLog, keyspace: Keyspace) -> None:
        self._log = log
        self._keyspace = keyspace
        self._views = CassandraChatViews(keyspace)

    async def caught_up(self, patience_s: float) -> dict[int, int]:
        """Wait until the views have all of the log; gives its ends. Raises Behind."""
        until = time.monotonic() + patience_s
        reached: dict[int, int] = {}
        ends: dict[int, int] = {}
        while time.monotonic() < until:
            try:
                ends, reached = await self._log.end(), await self._views.reached()
            except Unavailable:
                await asyncio.sleep(_POLL_S)
                continue
            if all(reached.get(partition, 0) >= end for partition, end in ends.items()):
                return ends
            await asyncio.sleep(_POLL_S)
        raise Behind(f"after {patience_s:.0f} s the views are at {reached}, the log at {ends}")

    async def difference(self, patience_s: float) -> str | None:
        """None if a rebuild gives the same views; else the first row that differs. Nobody may go on writing."""
        while True:
            ends = await self.caught_up(patience_s)
            served = await asyncio.to_thread(lambda: list(logical_rows(self._keyspace)))
            # Marks and answers that were on their way come late.
            if await self._log.end() == ends:
                break
        with TemporaryDirectory(prefix="tidings-rebuild-") as scratch:
            store = SqliteViews(Path(scratch) / "views.db", self._log.incarnation, ends)
            try:
                await fold_up_to(self._log, store, ends)
                rebuilt = list(store.rows())
            finally:
                store.close()
        # A partition without records has a position in neither or in one of them.
        served, rebuilt = ([row for row in rows if row[0] != "positions" or row[2]] for rows in (served, rebuilt))
        if hash_of(served) == hash_of(rebuilt):
            return None
        one, other = first_difference(served, rebuilt)
        return f"served {one}, rebuilt {other}"


@asynccontextmanager
async def truth_of(cluster: LocalCluster) -> AsyncIterator[Truth]:
    """Raises Unavailable."""
    log = await KafkaLog.open(cluster.kafka[0].bootstrap, 1)
    nodes = [node.host for node in cluster.cassandra]
    connection = Connection(Contact(tuple(nodes), cluster.cassandra[0].ports["cql"], timeout_s=10))
    try:
        generations = Generations(connection)
        served = await generations.served()
        if served is None:
            raise Unavailable("no generation of the views is served")
        yield Truth(log, Keyspace(connection, generations.keyspace(served)))
    finally:
        connection.close()
        await log.close()
