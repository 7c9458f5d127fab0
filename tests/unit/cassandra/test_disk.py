"""How long after its acknowledgement a write may not be on a disk, by a node's own account."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut

from infra.cassandra.disk import lag_s, wait_s


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"commitlog_sync": "batch", "commitlog_sync_period": "2ms"}, 0),
        ({"commitlog_sync": "group"}, 0),
        ({}, 0),
        ({"commitlog_sync": "periodic", "commitlog_sync_period": "2ms"}, 0.003),
        ({"commitlog_sync": "periodic", "commitlog_sync_period": "10s"}, 15),
        ({"commitlog_sync": "periodic", "commitlog_sync_period_in_ms": "10000"}, 15),
        (
            {
                "commitlog_sync": "periodic",
                "commitlog_sync_period": "2ms",
                "periodic_commitlog_sync_lag_block": "5ms",
            },
            0.005,
        ),
        (
            {
                "commitlog_sync": "periodic",
                "commitlog_sync_period_in_ms": "4",
                "periodic_commitlog_sync_lag_block_in_ms": "-1",
            },
            0.006,
        ),
        (
            {
                "commitlog_sync": "periodic",
                "commitlog_sync_period": "2ms",
                "periodic_commitlog_sync_lag_block": None,
            },
            0.003,
        ),
    ],
)
def test_a_node_is_late_by_its_lag_or_half_as_much_again_as_its_period(
    settings: dict[str, str | None], seconds: float
) -> None:
    assert lag_s(settings) == pytest.approx(seconds)


@dataclass
class Host:
    address: str
    period: str | None
    """None: it has no such table."""
    is_up: bool = True
    is_slow: bool = False


@dataclass
class Nodes:
    """The driver's cluster, its metadata and its session."""

    hosts: list[Host]
    metadata: Any = field(init=False)

    def __post_init__(self) -> None:
        self.metadata = self

    def all_hosts(self) -> list[Host]:
        return self.hosts

    def execute(self, statement: Any, *, host: Host, timeout: float) -> list[tuple[str, str | None]]:
        assert host.is_up, "a node that is down was asked"
        if host.is_slow:
            raise OperationTimedOut()
        if host.period is None:
            raise InvalidRequest("no such table")
        return [("commitlog_sync", "periodic"), ("commitlog_sync_period", host.period)]


def test_the_slowest_node_counts_and_who_cannot_tell_does_not() -> None:
    nodes = Nodes([Host("1", "2ms"), Host("2", "4ms"), Host("3", None), Host("4", "8ms", is_up=False)])
    assert wait_s(nodes, nodes) == pytest.approx(0.006)


def test_for_the_ten_seconds_of_the_default_nobody_waits_but_the_operator_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nodes = Nodes([Host("1", "2ms"), Host("2", "10s")])
    with caplog.at_level(logging.WARNING):
        assert wait_s(nodes, nodes) == pytest.approx(0.003)
    assert [record.args for record in caplog.records] == [("2", 15.0)]


def test_who_does_not_answer_is_taken_to_be_like_the_others() -> None:
    nodes = Nodes([Host("1", "2ms"), Host("2", "2ms", is_slow=True)])
    assert wait_s(nodes, nodes) == pytest.approx(0.003)


def test_where_nobody_answers_nothing_is_assumed() -> None:
    nodes = Nodes([Host("1", "2ms", is_slow=True), Host("2", "2ms", is_up=False)])
    with pytest.raises(OperationTimedOut):
        wait_s(nodes, nodes)
