"""The local cluster: all of its services, put together from a plan and a folder."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from infra.cluster.haproxy import MAX_PER_ADDRESS, SOURCE
from infra.cluster.plan import Plan, read_plan
from infra.cluster.services import Haproxy, Postgres, Redis, Service, cassandra_cluster, kafka_cluster
from infra.cluster.tidings import Gateway, Worker, is_served
from infra.secrets import load_secrets

JVM_OPTIONS = "-XX:+UseSerialGC -XX:-UsePerfData"
"""TIDINGS_CLUSTER_JVM says otherwise. All share one machine: threads of a collector would only take turns with
everything else."""
KAFKA_HEAP_MB = 384
CASSANDRA_HEAP_MB = 768
SMALL_HEAPS_MB = (256, 512)
"""Kafka's and Cassandra's, where there are three of each."""
PARTITIONS = 4
"""Of the log, where workers are few; TIDINGS_PARTITIONS says otherwise. Records of one partition share requests, so on
one machine some partitions are cheaper than the dozen of a real cluster, which may grow into them."""
DRAIN_S = 1.0
"""HAProxy asks twice a second how gateways are, and once more at once before it believes a bad answer."""


class NoCluster(Exception):
    """There is none in this folder."""


class NoSuchService(Exception):
    """The cluster has none of that name; the message lists those it has."""


class LocalCluster:
    """Everything stands in `folder`, so whoever opens it there sees the same cluster. Making one starts nothing."""

    def __init__(self, folder: Path, plan: Plan, *, port: int | None = None) -> None:
        """`port`: HAProxy's; None for the one it had, else a free one."""
        self.folder = folder.resolve()
        self.plan = plan
        small, jvm_options = SMALL_HEAPS_MB, os.environ.get("TIDINGS_CLUSTER_JVM", JVM_OPTIONS).split()
        self.kafka = kafka_cluster(
            self.folder,
            plan.kafka,
            heap_mb=small[0] if plan.kafka > 1 else KAFKA_HEAP_MB,
            jvm_options=jvm_options,
        )
        self.cassandra = cassandra_cluster(
            self.folder,
            plan.cassandra,
            heap_mb=small[1] if plan.cassandra > 1 else CASSANDRA_HEAP_MB,
            jvm_options=jvm_options,
        )
        self.redis = Redis(self.folder / "redis")
        self.postgres = Postgres(self.folder / "postgres")
        partitions = os.environ.get("TIDINGS_PARTITIONS", str(max(PARTITIONS, 2 * plan.workers)))
        settings = {
            **self.addresses(),
            **self.secrets(),
            "TIDINGS_DRAIN_S": str(DRAIN_S),
            "TIDINGS_FORWARDED_ALLOW_IPS": SOURCE,
            "TIDINGS_PARTITIONS": partitions,
        }
        self.gateways = [
            Gateway(self.folder / name, settings, name=name) for name in _numbered("gateway", plan.gateways)
        ]
        self.workers = [Worker(self.folder / name, settings, name=name) for name in _numbered("worker", plan.workers)]
        self.haproxy = Haproxy(
            self.folder / "haproxy",
            {gateway.name: gateway.address for gateway in self.gateways},
            port=port,
            max_per_address=int(os.environ.get("TIDINGS_CONNECTIONS_PER_ADDRESS", MAX_PER_ADDRESS)),
        )

    @property
    def url(self) -> str:
        """Where clients go."""
        return self.haproxy.url

    @property
    def stores(self) -> list[Service]:
        """What keeps something, for however long."""
        return [*self.kafka, *self.cassandra, self.redis, self.postgres]

    @property
    def services(self) -> dict[str, Service]:
        """Name → service, in the order in which they need each other."""
        return {each.name: each for each in [*self.stores, *self.workers, *self.gateways, self.haproxy]}

    def service(self, name: str) -> Service:
        """Raises NoSuchService."""
        services = self.services
        if name not in services:
            raise NoSuchService(f"there is no service {name}: {', '.join(services)}")
        return services[name]

    def gateway(self, name: str) -> Gateway:
        """Raises NoSuchService."""
        for gateway in self.gateways:
            if gateway.name == name:
                return gateway
        raise NoSuchService(f"there is no gateway {name}: {', '.join(each.name for each in self.gateways)}")

    def needs(self, service: Service) -> list[Service]:
        """What must be ready before a service is launched."""
        if service in self.cassandra[1:]:
            return [self.cassandra[0]]
        return self.stores if service in self.gateways or service in self.workers else []

    def addresses(self) -> dict[str, str]:
        """TIDINGS_* variables that lead a gateway, a worker or a tool to the cluster's services."""
        nodes = ",".join(f"{node.host}:{node.ports['cql']}" for node in self.cassandra)
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        found = {
            "TIDINGS_KAFKA": self.kafka[0].bootstrap,
            "TIDINGS_CASSANDRA": nodes,
            "TIDINGS_REDIS": self.redis.url,
            "TIDINGS_ACCOUNTS_URL": self.postgres.url,
            "TIDINGS_FILES": str(files),
        }
        if self.plan.kafka == self.plan.cassandra:
            # Else each kind of node decides by its own number.
            found["TIDINGS_REPLICATION"] = str(self.plan.kafka)
        return found

    def secrets(self) -> dict[str, str]:
        """TIDINGS_MASTER_KEY and TIDINGS_JWT_SECRET, made once and kept where only their owner reads."""
        made = load_secrets(self.folder / "secrets")
        return {
            "TIDINGS_MASTER_KEY": base64.b64encode(made.master).decode(),
            "TIDINGS_JWT_SECRET": base64.b64encode(made.jwt).decode(),
        }

    def is_served(self) -> bool:
        """Whether HAProxy has a gateway to send people to."""
        return is_served(f"{self.url}/readyz")


def opened(folder: Path) -> LocalCluster:
    """The cluster that is in a folder, running or not. Raises NoCluster."""
    plan = read_plan(folder)
    if plan is None:
        raise NoCluster(f"there is no cluster in {folder}")
    return LocalCluster(folder, plan)


def _numbered(kind: str, number: int) -> list[str]:
    return [f"{kind}-{place}" for place in range(1, number + 1)]
