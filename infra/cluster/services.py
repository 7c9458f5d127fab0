"""The services of a local cluster, real ones on loopback addresses, without containers."""

from infra.cluster.cassandra import Cassandra, cassandra_cluster
from infra.cluster.haproxy import Haproxy
from infra.cluster.jvm import QUICK
from infra.cluster.kafka import Kafka, kafka_cluster
from infra.cluster.postgres import Postgres
from infra.cluster.redis import Redis
from infra.cluster.service import Service, ServiceFailed

__all__ = [
    "QUICK",
    "Cassandra",
    "Haproxy",
    "Kafka",
    "Postgres",
    "Redis",
    "Service",
    "ServiceFailed",
    "cassandra_cluster",
    "kafka_cluster",
]
