"""The crash test of the embedded server, on a cluster: whichever of its processes is killed, and however often."""

from __future__ import annotations

import asyncio
import os
from random import Random, SystemRandom

import pytest

from tests.live.gateways.unrest import check_views, heard_more, under_load
from tests.support.cluster import Cluster
from tests.support.town import Town

pytestmark = [pytest.mark.needs("kafka", "cassandra", "redis", "postgres"), pytest.mark.timeout(1_800)]

KILLS = 4
"""TIDINGS_CRASH_KILLS says otherwise."""
EARLY_S = 2.0


async def test_nothing_acknowledged_is_lost_when_processes_are_killed_at_random(cluster: Cluster, town: Town) -> None:
    seed = int(os.environ.get("TIDINGS_CRASH_SEED", SystemRandom().randrange(2**32)))
    print(f"seed {seed}: TIDINGS_CRASH_SEED={seed} repeats the choices, though not the timing")
    random, kills = Random(seed), int(os.environ.get("TIDINGS_CRASH_KILLS", KILLS))
    async with under_load(town):
        for turn in range(kills):
            nodes = random.sample(cluster.nodes, random.choice((1, 1, 2)))
            await asyncio.sleep(random.uniform(0, 1))
            await asyncio.gather(*(asyncio.to_thread(node.kill) for node in nodes))
            if turn % 4 == 3:  # and again while they start
                for node in nodes:
                    await asyncio.to_thread(node.start, wait=False)
                await asyncio.sleep(random.uniform(0, EARLY_S))
                await asyncio.gather(*(asyncio.to_thread(node.kill) for node in nodes))
            await asyncio.to_thread(cluster.start)
            await heard_more(town)
    acked = sum(len(talker.books.acked) for talker in town.everybody)
    print(f"{kills} times killed, {acked} acknowledged")
    assert acked >= 20 * kills
    await check_views(cluster)
