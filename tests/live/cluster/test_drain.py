"""A gateway is drained under load, behind the real HAProxy: its clients move, and nobody misses a message."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random

import pytest

from infra.cluster.local import LocalCluster, opened
from tests.live.cluster.conftest import Local
from tests.support.talkers import Talker
from tests.support.town import check_heard, client, settle, settle_town, settled, talking

pytestmark = [
    pytest.mark.needs("kafka", "cassandra", "redis", "postgres", "haproxy"),
    pytest.mark.timeout(300),
]
PACE_S = 0.1
PATIENCE_S = 120.0


class Served:
    def __init__(self, cluster: LocalCluster) -> None:
        self.url = cluster.url
        self.ws_url = f"{cluster.url.replace('http', 'ws', 1)}/v1/ws"


async def test_drained_under_load_its_clients_move_and_miss_nothing(local: Local) -> None:
    cluster = opened(local.folder)
    town = await settle_town(Served(cluster), Random(3), PACE_S)
    async with client(town.server) as http, talking(town):
        for talker in town.everybody:
            await settle(talker, talker.is_connected, PATIENCE_S)
        assert all(cluster.haproxy.connections().values()), "some are here, some there"
        await town.speak_up()
        for talker in town.talkers:
            await settle(talker, talker.has_been_answered, PATIENCE_S)
        await asyncio.to_thread(local.done, "drain", "gateway-1")
        assert local.status()["gateway-1"]["state"] == "stopped"
        moved = [talker for talker in town.everybody if talker.codes]
        answered = {talker: len(talker.books.acked) for talker in town.talkers}
        for talker, before in answered.items():
            await settle(talker, partial(has_more_answers, talker, before), PATIENCE_S)
        assert 0 < len(moved) < len(town.everybody)
        assert [told(talker) for talker in moved] == [(1, [1012])] * len(moved)
        assert cluster.haproxy.connections()["gateway-2"] >= len(town.everybody)
        await asyncio.to_thread(local.done, "start", "gateway-1")
        check_heard(town, await settled(town, http))
        assert [told(talker) for talker in moved] == [(1, [1012])] * len(moved), "they stay where they went"
    other = await settle_town(Served(cluster), Random(4), PACE_S)
    async with talking(other):
        for talker in other.everybody:
            await settle(talker, talker.is_connected, PATIENCE_S)
        assert cluster.haproxy.connections()["gateway-1"] > 0, "people are let in again"


def has_more_answers(talker: Talker, before: int) -> bool:
    return len(talker.books.acked) > before


def told(talker: Talker) -> tuple[int, list[int | None]]:
    """How often it was asked to come back, and how its connections ended."""
    return talker.warnings, talker.codes
