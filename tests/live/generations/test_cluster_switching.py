"""The same in a cluster: every gateway moves, workers fold both generations, and nobody who chats notices."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest

from tests.support.cluster import Cluster
from tests.support.server import Server
from tests.support.town import check_heard, client, read_back, settle_town, settled, talking

pytestmark = [
    pytest.mark.needs("kafka", "cassandra", "redis", "postgres"),
    pytest.mark.timeout(600),
    pytest.mark.heavy,  # a rebuild, three switches and a drop, each a process of its own beside all others
]


async def tidings(node: Server, *arguments: str) -> str:
    return await asyncio.to_thread(node.tidings, *arguments)


async def test_chat_goes_on_through_rebuild_switch_rollback_and_drop(cluster: Cluster) -> None:
    cluster.start()
    gateway = cluster.gateways[0]
    [served] = [each["generation"] for each in await standings(gateway) if each["state"] == "served"]
    town = await settle_town(gateway, Random(7), 0.3)
    async with client(gateway) as http, talking(town):
        await town.speak_up()
        rebuilt = json.loads(await tidings(gateway, "projections", "rebuild", "timeline", "--workers", "2", "--json"))
        assert rebuilt["events"] > 0
        number = rebuilt["generation"]
        for command, now in (("switch", number), ("rollback", served), ("switch", number)):
            compared = json.loads(await tidings(gateway, "projections", "verify", "--json"))
            assert (compared["verdict"], compared["differences"]) == ("same", [])
            assert f"generation {now} is served by" in await tidings(gateway, "projections", command)
            await town.speak_up()
        await tidings(gateway, "projections", "drop", str(served))
        await town.speak_up()
        town.hush()
        await read_back(town, http)
        chats = await settled(town, http)
    check_heard(town, chats)
    assert [talker.codes for talker in town.everybody if talker.codes] == []
    for worker in cluster.workers:
        assert worker.is_running
    assert {each["generation"]: each["state"] for each in await standings(gateway)} == {number: "served"}


async def standings(node: Server) -> list[dict[str, object]]:
    return [json.loads(line) for line in (await tidings(node, "projections", "list", "--json")).splitlines()]
