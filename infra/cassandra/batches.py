"""Writes gathered into unlogged batches, each to one set of replicas: a coordinator among them has all rows at home."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from cassandra.query import BatchStatement, BatchType

from infra.cassandra.serialise import Unit, Values

MAX_ROWS = 50
MAX_BYTES = 40_000
"""Cassandra refuses batches over several partitions beyond 50 KiB, unless it is told otherwise."""


class ReplicaSets:
    """Numbers the sets of replicas of a keyspace; the numbers change with the ring."""

    def __init__(self, metadata: Any, keyspace: str) -> None:
        """`metadata` is the driver's `Cluster.metadata`."""
        self._metadata = metadata
        self._keyspace = keyspace
        self._seen: tuple[Any, Any] = (None, None)
        self._ends: list[int] = []
        """The last token of each range."""
        self._sets: list[int] = []
        self._hash: Any = None

    def refresh(self) -> None:
        """Follow the ring as the driver now knows it. To be called now and then: it is cheap where nothing changed."""
        ring = self._metadata.token_map
        # Replaced whenever the ring or the keyspace's replication changes.
        replicas = ring and ring.tokens_to_hosts_by_ks.get(self._keyspace)
        if replicas and self._seen[0] is ring and self._seen[1] is replicas:
            return
        numbers: dict[frozenset[Any], int] = {}
        self._ends, self._sets, self._hash = [], [], None
        for token in ring.ring if ring else ():
            hosts = frozenset(ring.get_replicas(self._keyspace, token))
            self._ends.append(token.value)
            self._sets.append(numbers.setdefault(hosts, len(numbers)))
        if len(numbers) > 1:
            self._hash = ring.token_class.hash_fn
        self._seen = (ring, ring and ring.tokens_to_hosts_by_ks.get(self._keyspace))

    def of(self, key: bytes) -> int:
        """The number of the set that holds the partition with this key."""
        if self._hash is None:
            return 0
        place = bisect_left(self._ends, self._hash(key))
        return self._sets[place] if place < len(self._sets) else self._sets[0]


def batched(
    units: Iterable[Unit], sets: ReplicaSets, query_ids: Mapping[str, bytes], keyspace: str, max_rows: int = MAX_ROWS
) -> list[Any]:
    """Batches of at most `max_rows` rows and MAX_BYTES. A unit is never split; a large one goes alone.

    Those of one partition stand together: of what a batch has for a partition Cassandra makes one mutation, and those
    are what it pays for.
    """
    batches: list[Any] = []
    begun: dict[int, tuple[Any, int, int]] = {}
    by_partition: dict[bytes, list[Unit]] = {}
    for unit in units:
        by_partition.setdefault(unit.key, []).append(unit)
    for unit in chain.from_iterable(by_partition.values()):
        number = sets.of(unit.key)
        batch, rows, size = begun.get(number, (None, 0, 0))
        rows += len(unit.writes)
        size += unit.size
        if batch is None or rows > max_rows or size > MAX_BYTES:
            batch, rows, size = _Batch(unit.key, keyspace), len(unit.writes), unit.size
            batches.append(batch)
        for statement, values in unit.writes:
            batch.add_serialised(query_ids[statement], values)
        begun[number] = (batch, rows, size)
    return batches


class _Batch(BatchStatement):  # type: ignore[misc]
    """A batch whose values are serialised already. The first partition's key leads it to a replica."""

    def __init__(self, key: bytes, keyspace: str) -> None:
        super().__init__(BatchType.UNLOGGED)
        self.routing_key = key
        self.keyspace = keyspace
        # Carried out twice, or late, it changes nothing: so the driver may try another node.
        self.is_idempotent = True

    def add_serialised(self, query_id: bytes, values: Values) -> None:
        self._add_statement_and_params(True, query_id, values)
