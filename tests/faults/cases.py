"""The faults: what is done to which services, and what must go on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cluster.local import LocalCluster
from infra.cluster.plan import Plan
from infra.cluster.service import Service
from tests.faults.releases import begin_upgrade, finish_and_go_back, restart_older

Act = Callable[[LocalCluster], Awaitable[None]]

AWAY_S = 5.0
"""How long what was killed stays away: an orchestrator needs some seconds too."""
FAILOVER_S = 15.0
"""The same where others take over who must first notice: a broker counts as in sync, and every ack waits for it, until
its session of six seconds is over."""
FROZEN_S = 20.0
REBALANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """`hit` begins the fault, `mend` ends it once `meanwhile` is over; each returns once the services are so."""

    name: str
    hit: Act
    meanwhile: Act
    mend: Act
    accepts: bool = True
    """Sends must be accepted meanwhile."""


def cases(plan: Plan, *, short: bool) -> Iterator[Case]:
    """Those that a cluster of this plan can be put to. `short`: less of the long ones."""
    one_of = {1: "the only one", 3: "one of three"}
    frozen_s = FROZEN_S / 5 if short else FROZEN_S
    yield _killed("kill -9 of a gateway", ["gateway-1"])
    yield _killed("kill -9 of a worker", ["worker-1"])
    yield _killed("kill -9 of two workers at once", ["worker-1", "worker-2"])
    yield _killed("kill -9 of Redis", ["redis"])
    yield _killed(f"kill -9 of Cassandra, {one_of[plan.cassandra]}", ["cassandra-1"])
    kafka_s = FAILOVER_S if plan.kafka > 1 else AWAY_S
    yield _killed(f"kill -9 of Kafka, {one_of[plan.kafka]}", ["kafka-1"], kafka_s, accepts=plan.kafka > 1)
    yield _killed("kill -9 of PostgreSQL", ["postgres"])
    yield _frozen(f"SIGSTOP of a worker for {frozen_s:.0f} s", "worker-1", frozen_s, accepts=True)
    yield _frozen(f"SIGSTOP of a broker for {frozen_s:.0f} s", "kafka-1", frozen_s, accepts=plan.kafka > 1)
    yield Case("a rolling upgrade, and back", begin_upgrade, restart_older, finish_and_go_back)
    turns = 2 if short else 12
    leaves = _each(["worker-2"], Service.end)
    name = f"a rebalance every {REBALANCE_S:.0f} s, {turns} times"
    yield Case(name, leaves, _rebalances(turns - 1), _start(["worker-2"]))


def _killed(name: str, names: list[str], away_s: float = AWAY_S, *, accepts: bool = True) -> Case:
    return Case(name, _each(names, Service.kill), _away(away_s), _start(names), accepts)


def _frozen(name: str, service: str, seconds: float, *, accepts: bool) -> Case:
    return Case(name, _each([service], Service.pause), _away(seconds), _each([service], Service.resume), accepts)


def _start(names: list[str]) -> Act:
    return _each(names, Service.start)


def _each(names: Sequence[str], act: Callable[[Service], Any]) -> Act:
    async def on_each(cluster: LocalCluster) -> None:
        await asyncio.gather(*(asyncio.to_thread(act, cluster.service(name)) for name in names))

    return on_each


def _away(seconds: float) -> Act:
    async def away(_: LocalCluster) -> None:
        await asyncio.sleep(seconds)

    return away


def _rebalances(turns: int) -> Act:
    """A worker that has left in good order comes back and leaves, by turns: each time the partitions are dealt anew."""

    async def rebalance(cluster: LocalCluster) -> None:
        worker = cluster.service("worker-2")
        await asyncio.sleep(REBALANCE_S)
        for turn in range(turns):
            rest = asyncio.create_task(asyncio.sleep(REBALANCE_S))
            await asyncio.to_thread(worker.end if turn % 2 else worker.start)
            await rest

    return rebalance
