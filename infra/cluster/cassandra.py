"""Cassandra nodes, one per loopback address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from infra.cluster.files import write_whole
from infra.cluster.jars import CASSANDRA_JARS, fetch
from infra.cluster.jvm import java
from infra.cluster.service import Service, answers

_TOKENS = 4
"""Per node."""
_EXPORTS = (
    "java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi "
    "java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp java.sql/java.sql "
    "jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file"
)
_OPENS = (
    "java.base/java.lang.module java.base/java.net java.base/jdk.internal.loader java.base/jdk.internal.ref "
    "java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module "
    "java.base/jdk.internal.util.jar java.base/sun.nio.ch java.base/java.io java.base/java.nio java.base/java.util "
    "java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/java.lang java.base/java.math "
    "java.base/java.lang.reflect jdk.management/com.sun.management.internal"
)
_OPTIONS_FRAME = bytes.fromhex("040000000500000000")
_SUPPORTED_FRAME = bytes.fromhex("8400000006")
_LOGBACK = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level [%thread] %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""


class Cassandra(Service):
    """One node. Nodes of one cluster are made together, by `cassandra_cluster`."""

    timer_slack_us = 300
    """After each request a thread of Cassandra looks for more every 10 µs, for 10 ms. Where requests come a few at a
    time that is most of what they cost, and a kernel that may be late lets it look less often (ADR 0055)."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "cassandra-1",
        node: int = 1,
        port: int | None = None,
        storage_port: int | None = None,
        jmx_port: int | None = None,
        heap_mb: int = 768,
        jvm_options: Sequence[str] = (),
    ) -> None:
        """`node` is the last part of its address, 127.0.0.x. Nodes of a cluster share their ports' numbers."""
        self.host = f"127.0.0.{node}"
        super().__init__(name, folder, {"cql": port, "storage": storage_port, "jmx": jmx_port})
        self.node = node
        self.peers: list[Cassandra] = [self]
        """All nodes of the cluster, the seed first."""
        self.sync_ms = 2
        """Between two syncs of the commit log, from the next start on."""
        self._heap_mb = heap_mb
        self._jvm_options = tuple(jvm_options)

    @property
    def contact_points(self) -> list[str]:
        """Addresses of all nodes; the port is `ports["cql"]` on each."""
        return [peer.host for peer in self.peers]

    def prepare(self) -> None:
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        write_whole(conf / "logback.xml", _LOGBACK)
        # JSON is YAML.
        write_whole(conf / "cassandra.yaml", json.dumps(self._settings(), indent=2))

    def command(self) -> list[str]:
        jars = fetch(CASSANDRA_JARS)
        [jamm] = jars.glob("jamm-*.jar")
        access = [f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS.split()]
        access += [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS.split()]
        return java(
            "org.apache.cassandra.service.CassandraDaemon",
            [self.folder / "conf", f"{jars}/*"],
            heap_mb=self._heap_mb,
            options=[f"-javaagent:{jamm}", *access, *self._jvm_options],
            properties={
                "jdk.attach.allowAttachSelf": "true",
                "cassandra.config": (self.folder / "conf" / "cassandra.yaml").as_uri(),
                "cassandra.storagedir": self.folder,
                "cassandra.jmx.local.port": self.ports["jmx"],
                "cassandra-foreground": "yes",
                "cassandra.superuser_setup_delay_ms": 0,
                "cassandra.skip_wait_for_gossip_to_settle": 0,
                "cassandra.ring_delay_ms": self._ring_delay_ms,
            },
        )

    def is_ready(self) -> bool:
        """Whether it answers CQL clients."""
        return self.pid is not None and answers(self.host, self.ports["cql"], _OPTIONS_FRAME, _SUPPORTED_FRAME)

    @property
    def _ring_delay_ms(self) -> int:
        """How long it asks others about the ring before it gives up; the seed then goes on alone, at once."""
        return 0 if self is self.peers[0] else int(self.patience_s * 500)

    def _settings(self) -> dict[str, object]:
        folders = ("commitlog", "saved_caches", "hints", "cdc_raw")
        seed = self.peers[0]
        return {
            "cluster_name": "tidings",
            "num_tokens": _TOKENS,
            "initial_token": ", ".join(map(str, self._own_tokens())),
            "auto_bootstrap": False,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "endpoint_snitch": "SimpleSnitch",
            "dynamic_snitch": False,
            "seed_provider": [
                {
                    "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                    "parameters": [{"seeds": f"{seed.host}:{seed.ports['storage']}"}],
                }
            ],
            "listen_address": self.host,
            "rpc_address": self.host,
            "native_transport_port": self.ports["cql"],
            "storage_port": self.ports["storage"],
            "authenticator": "AllowAllAuthenticator",
            "authorizer": "AllowAllAuthorizer",
            "data_file_directories": [str(self.folder / "data")],
            **{f"{name}_directory": str(self.folder / name) for name in folders},
            # A fold waits so long for the disk before it writes what speaks of something else (ADR 0023). By default a
            # node that loses power loses ten seconds. Other replicas make up for that, but there may be none here.
            "commitlog_sync": "periodic",
            "commitlog_sync_period": f"{self.sync_ms}ms",
            # Uncompressed, its file is mapped, and each sync drops what was written from memory: the next write
            # faults it in again. Syncs are many here, and that was a fifth of what a write cost.
            "commitlog_compression": [{"class_name": "LZ4Compressor"}],
            # A warning for each batch of more than 5 KiB helps nobody; over 50 KiB, as by default, they are refused.
            "batch_size_warn_threshold": "50KiB",
            # Nor does one for batches over several partitions: they all live on the same replicas.
            "unlogged_batch_across_partitions_warn_threshold": 1_000,
            # A node that has just started is slow, and shares the machine's cores with everything else.
            "write_request_timeout": "10s",
            "read_request_timeout": "10s",
            "commitlog_segment_size": "16MiB",
            "commitlog_total_space": "256MiB",
            "file_cache_size": "64MiB",
            "auto_snapshot": False,
        }

    def _own_tokens(self) -> list[int]:
        """Even shares of the ring, so that nodes may join in any order."""
        shares = _TOKENS * len(self.peers)
        place = self.peers.index(self)
        return [(place + turn * len(self.peers)) * (2**64 // shares) - 2**63 + 1 for turn in range(_TOKENS)]


def cassandra_cluster(
    folder: Path,
    nodes: int,
    *,
    port: int | None = None,
    heap_mb: int = 768,
    jvm_options: Sequence[str] = (),
) -> list[Cassandra]:
    """Nodes `cassandra-1` … on 127.0.0.1 …, not yet started. The first must be ready before the others are launched."""
    made: list[Cassandra] = []
    for node in range(1, nodes + 1):
        shared = made[0].ports if made else {"cql": port}
        made.append(
            Cassandra(
                folder / f"cassandra-{node}",
                name=f"cassandra-{node}",
                node=node,
                port=shared["cql"],
                storage_port=shared.get("storage"),
                jmx_port=None,
                heap_mb=heap_mb,
                jvm_options=jvm_options,
            )
        )
    for each in made:
        each.peers = made
    return made
