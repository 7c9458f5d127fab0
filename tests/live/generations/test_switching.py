"""Read models are rebuilt, compared, exchanged and dropped while people chat, and nobody notices."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from infra.layout import views_file
from tests.live.conftest import MakeServer
from tests.support.server import Server
from tests.support.town import check_heard, client, read_back, settle_town, settled, talking


async def tidings(server: Server, *arguments: str) -> str:
    """Stdout of a command that must end well."""
    return await asyncio.to_thread(server.tidings, *arguments)


async def standings(server: Server) -> dict[int, dict[str, Any]]:
    lines = (await tidings(server, "projections", "list", "--json")).splitlines()
    return {each["generation"]: each for each in map(json.loads, lines)}


@pytest.mark.timeout(240)
async def test_chat_goes_on_through_rebuild_switch_rollback_and_drop(make_server: MakeServer) -> None:
    server = make_server().start()
    town = await settle_town(server, Random(7))
    async with client(server) as http, talking(town):
        await town.speak_up()
        rebuilt = json.loads(await tidings(server, "projections", "rebuild", "timeline", "--json"))
        assert rebuilt["generation"] == 2
        assert rebuilt["events"] > 0
        for number in (2, 1):
            compared = json.loads(await tidings(server, "projections", "verify", "--json"))
            assert (compared["verdict"], compared["differences"]) == ("same", [])
            assert compared["chats"] > 0
            assert compared["entries"] > 0
            command = ("rollback",) if number == 1 else ("switch",)
            assert f"generation {number} is served by 1" in await tidings(server, "projections", *command)
            await town.speak_up()
        assert "generation 2 is served by 1" in await tidings(server, "projections", "switch")
        assert {n: each["state"] for n, each in (await standings(server)).items()} == {1: "followed", 2: "served"}
        assert await tidings(server, "projections", "drop", "1")
        await town.speak_up()
        town.hush()
        await read_back(town, http)
        chats = await settled(town, http)
        lag = [json.loads(line) for line in (await tidings(server, "projections", "lag", "--json")).splitlines()]
        assert [(each["generation"], each["lag_events"], each["lag_seconds"]) for each in lag] == [(2, 0, 0.0)]
    check_heard(town, chats)
    assert {code for talker in town.everybody for code in talker.codes} <= {None}
    assert [talker.codes for talker in town.everybody if talker.codes] == []
    assert not views_file(server.data, 1).exists()
    assert server.stop() == 0
    await asyncio.to_thread(server.start)
    assert set(await standings(server)) == {2}
    hashed = json.loads(await tidings(server, "projections", "hash", "--rebuild", "--json"))
    assert hashed["sha256"] == hashed["rebuilt"], hashed["difference"]
