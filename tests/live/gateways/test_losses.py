"""Nothing acknowledged is lost, nothing happens twice and nobody misses anything when processes come and go."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest

from tests.live.gateways.unrest import becomes, check_views, heard_more, more_acks, under_load
from tests.support.cluster import PARTITIONS, Cluster, Node
from tests.support.town import Town, check_heard, client, settle, settled, talking

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(300)]


async def test_a_gateway_that_is_drained_loses_nobody(cluster: Cluster, town: Town) -> None:
    going = cluster.gateways[0]
    moved = [talker for number, talker in enumerate(town.talkers) if number % 2 == 0]
    async with client(cluster.gateways[1]) as http, talking(town):
        await town.speak_up()
        await more_acks(town)
        assert await asyncio.to_thread(going.stop) == 0, going.printed()
        for talker in moved:
            await settle(talker, partial(talker.has_ended, 1))
            assert (talker.codes[0], talker.warnings) == (1012, 1), talker
        await more_acks(town)
        await asyncio.to_thread(going.start)
        chats = await settled(town, http)
    check_heard(town, chats)


async def test_workers_that_are_killed_lose_and_repeat_nothing(cluster: Cluster, town: Town) -> None:
    async with under_load(town):
        for worker in cluster.workers:
            await asyncio.to_thread(worker.kill)
            await more_acks(town)
            await asyncio.to_thread(worker.start)
            await heard_more(town)
    await check_views(cluster)


async def test_a_worker_that_comes_and_goes_hands_over_cleanly(cluster: Cluster, town: Town) -> None:
    staying, going = cluster.workers
    async with under_load(town):
        assert await asyncio.to_thread(going.stop) == 0, going.printed()
        await becomes(partial(folded_by, staying), PARTITIONS)
        await heard_more(town)
        await asyncio.to_thread(going.start)
        await becomes(partial(folded_by, going), PARTITIONS // 2)
        await heard_more(town)
    await check_views(cluster)


async def folded_by(worker: Node) -> int:
    """How many partitions it has."""
    async with httpx.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{worker.url}/metrics")
    return answer.text.count("tidings_projection_lag{")
