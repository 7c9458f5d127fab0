"""`tidings repair` mends one chat, beside a running server and without one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from infra.layout import views_file
from tests.live.conftest import MakeServer
from tests.live.generations.test_audit import audited
from tests.live.generations.test_dead_letters import poison
from tests.live.generations.test_rebuilding import make, talk
from tests.support.cli import run
from tests.support.history import ROOM
from tests.support.town import check_heard, client, read_back, settle_town, settled, talking


def damage(data: Path, statement: str) -> None:
    with sqlite3.connect(views_file(data), timeout=30) as db:
        assert db.execute(statement).rowcount > 0
    db.close()


def repaired(data: Path, chat_id: str = ROOM) -> dict[str, Any]:
    done = run(data, "repair", chat_id, "--json")
    assert done.status == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make(tmp_path, talk())
    poison(tmp_path)
    make(tmp_path, [])  # folds what was appended
    return tmp_path


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chats SET applied = applied - 1",
        "DELETE FROM parked WHERE offset = 13",
        "DELETE FROM timeline WHERE place & 4294967295 > 4",
        "UPDATE members SET read_n = 3 WHERE read_n = 0",
        "DELETE FROM members",
        "DELETE FROM chats",
    ],
)
def test_without_a_server_a_chat_is_mended_where_the_views_stand(data: Path, statement: str) -> None:
    hashed = run(data, "projections", "hash").stdout
    damage(data, statement)
    audited(data, 1)
    told = repaired(data)
    assert told["differences"]
    assert (told["problems"], told["held_s"]) == ([], 0.0)
    audited(data, 0)
    assert run(data, "projections", "hash").stdout == hashed
    assert repaired(data)["differences"] == []


def test_a_chat_of_which_the_log_knows_nothing_is_no_chat(data: Path) -> None:
    done = run(data, "repair", "nonsense")
    assert done.status == 2
    assert "the log has no record of chat nonsense" in done.stderr


@pytest.mark.timeout(120)
async def test_beside_a_server_one_chat_waits_and_everybody_goes_on(make_server: MakeServer) -> None:
    server = make_server().start()
    town = await settle_town(server, Random(7))
    async with client(server) as http, talking(town):
        await town.speak_up()
        await read_back(town, http)
        *_, busy = town.readers
        lost = f"SELECT k << 32 | 1 FROM chats WHERE chat_id = '{busy}'"
        damage(server.data, f"DELETE FROM timeline WHERE place = ({lost})")
        told = await asyncio.to_thread(repaired, server.data, busy)
        assert any(each["seq"] == 1 for each in told["differences"])
        assert told["problems"] == []
        assert 0 < told["held_s"] < 30
        again = await asyncio.to_thread(repaired, server.data, busy)
        assert (again["differences"], again["held_s"]) == ([], 0.0), "nothing is held up for nothing"
        await town.speak_up()
        town.hush()
        chats = await settled(town, http)
    check_heard(town, chats)
    assert [talker.codes for talker in town.everybody if talker.codes] == []
    assert await asyncio.to_thread(server.tidings, "dead-letters", "list") == ""
    await asyncio.to_thread(audited, server.data, 0)
    assert server.stop() == 0
    hashed = json.loads(server.tidings("projections", "hash", "--rebuild", "--json"))
    assert hashed["sha256"] == hashed["rebuilt"], hashed["difference"]


def test_a_head_that_is_lost_is_not_brought_back_beside_a_server_that_remembers_it(
    make_server: MakeServer,
) -> None:
    server = make_server()
    server.data.mkdir(parents=True, exist_ok=True)
    make(server.data, talk())
    server.start()
    damage(server.data, "DELETE FROM chats")
    done = run(server.data, "repair", ROOM)
    assert done.status == 1
    assert "stop the server" in done.stderr
    assert server.stop() == 0
    assert repaired(server.data)["problems"] == []
