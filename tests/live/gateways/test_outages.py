"""Accepting a send depends on the log and a cached key alone, and what was accepted is delivered in the end."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.live.gateways.unrest import becomes, heard_more, more_acks, readiness, under_load
from tests.support.cluster import Cluster
from tests.support.town import Town

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(300)]


async def test_sends_go_on_without_redis_and_everything_is_delivered(cluster: Cluster, town: Town) -> None:
    async with under_load(town):
        await asyncio.to_thread(cluster.redis.kill)
        try:
            await more_acks(town)
            await heard_more(town)  # by comparing with the views
            assert await readiness(cluster.gateways[0]) == (200, ["redis"])
        finally:
            await asyncio.to_thread(cluster.redis.start)
        await becomes(partial(readiness, cluster.gateways[0]), (200, []))


async def test_sends_go_on_while_cassandra_stands_still(cluster: Cluster, town: Town) -> None:
    async with under_load(town):
        await asyncio.to_thread(cluster.cassandra.pause)
        try:
            await more_acks(town)
            assert await readiness(cluster.gateways[0]) == (200, ["views"])
        finally:
            await asyncio.to_thread(cluster.cassandra.resume)
        await heard_more(town)


async def test_sends_go_on_without_any_worker(cluster: Cluster, town: Town) -> None:
    async with under_load(town):
        for worker in cluster.workers:
            assert await asyncio.to_thread(worker.stop) == 0, worker.printed()
        await more_acks(town)
        await asyncio.to_thread(cluster.start)
        await heard_more(town)


async def test_sends_go_on_without_postgresql(cluster: Cluster, town: Town) -> None:
    async with under_load(town):
        await asyncio.to_thread(cluster.postgres.kill)
        try:
            await more_acks(town)
            assert await readiness(cluster.gateways[0]) == (200, ["accounts"])
        finally:
            await asyncio.to_thread(cluster.postgres.start)
        await becomes(partial(readiness, cluster.gateways[0]), (200, []))


async def test_processes_end_when_asked_while_kafka_stands_still(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.kafka.pause)
    try:
        for node in (cluster.gateways[0], cluster.workers[0]):
            assert await asyncio.to_thread(node.stop, 30) == 0, node.printed()
    finally:
        await asyncio.to_thread(cluster.kafka.resume)
        await asyncio.to_thread(cluster.start)
