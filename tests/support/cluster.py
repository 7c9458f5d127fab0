"""A small cluster for tests: shared services, and gateways and workers in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from infra.cluster.services import Cassandra, Kafka, Postgres, Redis
from tests.support.caller import new_id, newcomers
from tests.support.cassandra_views import in_thread
from tests.support.postgres import empty_database
from tests.support.server import Server

GATEWAYS, WORKERS, PARTITIONS = 2, 2, 4


class Node(Server):
    """`tidings gateway` or `tidings worker`. Its folder holds nothing but what it printed."""

    patience_s = 150.0  # four start at once, beside four services

    def __init__(self, folder: Path, kind: str, number: int, settings: Mapping[str, str]) -> None:
        self.kind = kind
        self.name = f"{kind}-{number}"
        super().__init__(folder / self.name, {**settings, "TIDINGS_NODE": self.name})

    def _command(self) -> list[str]:
        return [self.kind]


class Cluster:
    """Two gateways and two workers on services that others may use too. The product's topics are theirs alone."""

    def __init__(
        self, folder: Path, kafka: Kafka, cassandra: Cassandra, redis: Redis, postgres: Postgres, accounts_url: str
    ) -> None:
        self.kafka, self.cassandra, self.redis, self.postgres = kafka, cassandra, redis, postgres
        self.settings = {
            "TIDINGS_KAFKA": kafka.bootstrap,
            "TIDINGS_CASSANDRA": ",".join(f"{host}:{cassandra.ports['cql']}" for host in cassandra.contact_points),
            "TIDINGS_CASSANDRA_KEYSPACE": f"t{uuid4().hex[:12]}",
            "TIDINGS_REDIS": redis.url,
            "TIDINGS_ACCOUNTS_URL": accounts_url,
            "TIDINGS_PARTITIONS": str(PARTITIONS),
            "TIDINGS_MASTER_KEY": "11" * 32,
            "TIDINGS_JWT_SECRET": "22" * 32,
            "TIDINGS_FILES": str(folder / "files"),
            "TIDINGS_LOG_LEVEL": "info",
        }
        self._folder = folder
        self.gateways = [self.node("gateway", number) for number in range(1, GATEWAYS + 1)]
        self.workers = [self.node("worker", number) for number in range(1, WORKERS + 1)]

    def node(self, kind: str, number: int, **more: str) -> Node:
        """One more, not yet started; whoever makes it kills it."""
        return Node(self._folder, kind, number, {**self.settings, **more})

    @property
    def nodes(self) -> list[Node]:
        return [*self.gateways, *self.workers]

    def start(self) -> Cluster:
        """Start whatever does not run, and wait until all are ready."""
        idle = [node for node in self.nodes if not node.is_running]
        for node in idle:
            node.start(wait=False)
        with ThreadPoolExecutor() as threads:
            list(threads.map(Node.wait_ready, idle))
        return self

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka: Kafka, cassandra: Cassandra, redis: Redis, postgres: Postgres
) -> Iterator[Cluster]:
    """One for a whole run: make users and chats of your own, and mend what you break."""
    accounts = in_thread(lambda: asyncio.run(empty_database(postgres)))
    made = Cluster(tmp_path_factory.mktemp("cluster"), kafka, cassandra, redis, postgres, accounts)
    try:
        made.start()
        await_views(made.gateways[0].url)
        yield made
    finally:
        made.kill()


def await_views(url: str) -> None:
    """Return when new chats are shown at once, whatever their partition: the workers have the log's end."""
    until = monotonic() + Node.patience_s
    with newcomers(url) as made:
        ana = made()
        for _ in range(3 * PARTITIONS):
            body = {"title": "Tea", "member_ids": [], "chat_id": new_id()}
            while ana.post("/chats", body).status_code == 202:
                assert monotonic() < until, "the views do not come up to the log's end"
