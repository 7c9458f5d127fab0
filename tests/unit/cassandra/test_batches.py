"""Batches go to one set of replicas, stay within bounds and never split what belongs together."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from cassandra.metadata import KeyspaceMetadata, Metadata
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host
from cassandra.query import BatchType
from hypothesis import given
from hypothesis import strategies as st

from infra.cassandra.batches import MAX_BYTES, MAX_ROWS, ReplicaSets, batched
from infra.cassandra.serialise import Unit

IDS = {"insert": b"\1\2"}


def cluster(nodes: int, copies: int, tokens: int = 4) -> Any:
    """The driver's metadata of a cluster with evenly spread tokens."""
    metadata = Metadata()
    hosts = [Host(f"127.0.0.{node + 1}", SimpleConvictionPolicy, "dc", "rack") for node in range(nodes)]
    metadata.keyspaces = {
        "ks": KeyspaceMetadata("ks", True, "org.apache.cassandra.locator.NetworkTopologyStrategy", {"dc": str(copies)})
    }
    share = 2**64 // (nodes * tokens)
    ring = {
        host: [str((place + turn * nodes) * share - 2**63 + 1) for turn in range(tokens)]
        for place, host in enumerate(hosts)
    }
    metadata.rebuild_token_map("org.apache.cassandra.dht.Murmur3Partitioner", ring)
    return metadata


def sets_of(metadata: Any, keyspace: str = "ks") -> ReplicaSets:
    sets = ReplicaSets(metadata, keyspace)
    sets.refresh()
    return sets


def unit(key: bytes, rows: int = 1, size: int = 300) -> Unit:
    return Unit(key, size, tuple(("insert", (key, bytes([row % 256]))) for row in range(rows)))


def writes(batch: Any) -> list[Any]:
    return list(batch._statements_and_parameters)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=30))
def test_keys_share_a_number_if_and_only_if_they_share_their_replicas(keys: list[bytes]) -> None:
    metadata = cluster(5, 3)
    sets = sets_of(metadata)
    replicas = {key: frozenset(metadata.get_replicas("ks", key)) for key in keys}
    for one in keys:
        for other in keys:
            assert (sets.of(one) == sets.of(other)) == (replicas[one] == replicas[other])


@pytest.mark.parametrize(("nodes", "copies"), [(1, 1), (3, 3)])
def test_where_every_node_has_everything_there_is_one_set(nodes: int, copies: int) -> None:
    sets = sets_of(cluster(nodes, copies))
    assert {sets.of(bytes([number])) for number in range(200)} == {0}


@pytest.mark.parametrize("metadata", [Metadata(), cluster(3, 1)])
def test_an_unknown_ring_or_keyspace_is_one_set(metadata: Any) -> None:
    sets = sets_of(metadata, "unknown")
    assert {sets.of(bytes([number])) for number in range(200)} == {0}


def test_a_change_of_the_ring_is_followed() -> None:
    metadata = cluster(1, 1)
    sets = sets_of(metadata)
    grown = cluster(4, 1)
    metadata.token_map = grown.token_map
    sets.refresh()
    assert len({sets.of(bytes([number])) for number in range(200)}) == 4


described = st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 70), st.integers(1, 120_000))


@given(st.lists(described, max_size=60))
def test_everything_is_written_once_in_bounds_and_together(units_described: list[tuple[bytes, int, int]]) -> None:
    units = [
        Unit(key, size, tuple(("insert", (number, row)) for row in range(rows)))
        for number, (key, rows, size) in enumerate(units_described)
    ]
    metadata = cluster(4, 2)
    batches = batched(units, sets_of(metadata), IDS, "ks")

    contents = [[values for _, _, values in writes(batch)] for batch in batches]
    assert sorted(chain(*contents)) == [values for one in units for _, values in one.writes]
    homes: list[int] = []
    for batch, values in zip(batches, contents, strict=True):
        numbers = list(dict.fromkeys(number for number, _ in values))
        homes += numbers
        within = [units[number] for number in numbers]
        assert len({frozenset(metadata.get_replicas("ks", one.key)) for one in within}) == 1
        assert batch.routing_key == within[0].key
        in_bounds = len(values) <= MAX_ROWS and sum(one.size for one in within) <= MAX_BYTES
        assert in_bounds or len(within) == 1
    assert len(homes) == len(units), "a unit was split"


def test_long_messages_go_one_by_one_and_short_ones_beside_them_do_not() -> None:
    units = [unit(b"long", size=100_000), unit(b"a"), unit(b"long too", size=100_000), unit(b"b"), unit(b"c")]
    batches = batched(units, sets_of(cluster(1, 1)), IDS, "ks")
    assert [[values[0] for _, _, values in writes(batch)] for batch in batches] == [
        [b"long"], [b"a"], [b"long too"], [b"b", b"c"],
    ]  # fmt: skip


def test_a_batch_is_unlogged_idempotent_and_routed() -> None:
    [batch] = batched([unit(b"key")], sets_of(cluster(1, 1)), IDS, "ks")
    assert batch.batch_type is BatchType.UNLOGGED
    assert (batch.keyspace, batch.routing_key, batch.is_idempotent) == ("ks", b"key", True)
    assert writes(batch) == [(True, b"\1\2", (b"key", b"\0"))]


def test_what_belongs_to_one_partition_stands_together_in_its_order() -> None:
    keys = [b"a", b"b", b"a", b"c", b"b"]
    units = [Unit(key, 300, (("insert", (number,)),)) for number, key in enumerate(keys)]
    [batch] = batched(units, sets_of(cluster(1, 1)), IDS, "ks")
    assert [number for _, _, (number,) in writes(batch)] == [0, 2, 1, 4, 3]
