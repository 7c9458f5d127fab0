"""Kafka brokers, each also a KRaft controller."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.cluster.files import write_once, write_whole
from infra.cluster.jars import KAFKA_JARS, fetch
from infra.cluster.jvm import java
from infra.cluster.service import Service, ServiceFailed

_silent = logging.Logger("kafka readiness", logging.CRITICAL + 1)


class Kafka(Service):
    """One broker. Nodes of one cluster are made together, by `kafka_cluster`."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "kafka-1",
        port: int | None = None,
        controller_port: int | None = None,
        node: int = 1,
        heap_mb: int = 384,
        jvm_options: Sequence[str] = (),
    ) -> None:
        super().__init__(name, folder, {"kafka": port, "controller": controller_port})
        self.node = node
        self.peers: list[Kafka] = [self]
        """All nodes of the cluster, in order."""
        self._heap_mb = heap_mb
        self._jvm_options = tuple(jvm_options)

    @property
    def bootstrap(self) -> str:
        """`host:port` of all nodes, by commas."""
        return ",".join(f"{peer.host}:{peer.ports['kafka']}" for peer in self.peers)

    def prepare(self) -> None:
        properties = "".join(f"{name}={value}\n" for name, value in self._settings().items())
        write_whole(self.folder / "server.properties", properties)
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        return java(
            "kafka.Kafka",
            [f"{fetch(KAFKA_JARS)}/*"],
            heap_mb=self._heap_mb,
            options=self._jvm_options,
            properties=_LOGGING,
            arguments=["server.properties"],
        )

    def is_ready(self) -> bool:
        """Whether clients are told of this node: it has joined and is let serve."""
        if self.pid is None:
            return False
        admin = AdminClient({"bootstrap.servers": f"{self.host}:{self.ports['kafka']}"}, logger=_silent)
        try:
            return self.node in admin.list_topics(timeout=1).brokers
        except KafkaException:
            return False

    def _settings(self) -> dict[str, object]:
        replicas = min(3, len(self.peers))
        voters = ",".join(f"{peer.node}@{peer.host}:{peer.ports['controller']}" for peer in self.peers)
        return {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": voters,
            "listeners": f"BROKER://{self.host}:{self.ports['kafka']},CONTROLLER://{self.host}:{self.ports['controller']}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": max(1, replicas - 1),
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": max(1, replicas - 1),
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": max(1, replicas - 1),
            # One that was killed is not let in again before its old session is over.
            "broker.session.timeout.ms": 6_000,
            "broker.heartbeat.interval.ms": 1_000,
            "group.initial.rebalance.delay.ms": 0,
            # Static members may name their own; below the default so that tests need not wait for it.
            "group.min.session.timeout.ms": 1_000,
            "log.segment.bytes": 64 * 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        }

    def _format(self) -> None:
        command = java(
            "kafka.tools.StorageTool",
            [f"{fetch(KAFKA_JARS)}/*"],
            heap_mb=64,
            properties=_LOGGING,
            arguments=["format", "--ignore-formatted", "-t", self._cluster_id(), "-c", "server.properties"],
        )
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if run.returncode != 0:
            raise ServiceFailed(f"{self.name} could not be formatted\n{run.stdout}{run.stderr}")

    def _cluster_id(self) -> str:
        """The same for all nodes: the first one has it on file."""
        file = self.peers[0].folder / "cluster.json"
        if not file.exists():
            # A fixed first byte, because an id that begins with a dash would read as an option.
            write_once(file, json.dumps(base64.urlsafe_b64encode(b"\xc7" + uuid.uuid4().bytes[1:]).decode()[:22]))
        return str(json.loads(file.read_text()))


_LOGGING = {"org.slf4j.simpleLogger.showDateTime": "true", "org.slf4j.simpleLogger.dateTimeFormat": "HH:mm:ss.SSS"}


def kafka_cluster(
    folder: Path, nodes: int, *, heap_mb: int = 384, jvm_options: Sequence[str] = (), first_port: int | None = None
) -> list[Kafka]:
    """Brokers `kafka-1` … of one cluster, not yet started; replication is three where there are that many.

    Ports count on from `first_port`, two a node. None becomes ready before most of them have been launched.
    """
    ports = [(None, None) if first_port is None else (first_port + 2 * i, first_port + 2 * i + 1) for i in range(nodes)]
    brokers = [
        Kafka(
            folder / f"kafka-{number}",
            name=f"kafka-{number}",
            port=port,
            controller_port=controller_port,
            node=number,
            heap_mb=heap_mb,
            jvm_options=jvm_options,
        )
        for number, (port, controller_port) in enumerate(ports, start=1)
    ]
    for broker in brokers:
        broker.peers = brokers
    return brokers
