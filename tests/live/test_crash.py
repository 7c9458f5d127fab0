"""Nothing acknowledged is lost and nothing happens twice, however often the process is killed."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import pytest

from events.ids import uuid7
from infra.sqlite.log_reader import SqliteLogReader
from tests.live.conftest import MakeServer
from tests.support.needs import require
from tests.support.server import Server
from tests.support.syscalls import durable_before_told, read_calls, strace
from tests.support.town import check_heard, client, read_back, settle_town, settled, talking

KILLS = 20
EARLY_KILLS = 4
"""Killed while starting, before anybody was served."""
UPTIME_S = 0.6
EARLY_S = 1.0


async def run_on(talkers: list[asyncio.Task[None]], seconds: float) -> None:
    """Let the load run, unless a client fails."""
    failed, _ = await asyncio.wait(talkers, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in failed:
        task.result()


def check_views(server: Server) -> None:
    """The views have the whole log, and are what a rebuild from its beginning gives."""
    hashed = json.loads(server.tidings("projections", "hash", "--rebuild", "--json"))
    assert hashed["sha256"] == hashed["rebuilt"], hashed["difference"]
    reader = SqliteLogReader(server.data / "log.db")
    try:
        assert {int(partition): end for partition, end in hashed["positions"].items()} == reader.ends()
    finally:
        reader.close()


@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed_at_random(make_server: MakeServer) -> None:
    seed = int(os.environ.get("TIDINGS_CRASH_SEED", SystemRandom().randrange(2**32)))
    print(f"seed {seed}: TIDINGS_CRASH_SEED={seed} repeats the choices, though not the timing")
    random = Random(seed)
    server = make_server().start()
    town = await settle_town(server, random)
    early = set(random.sample(range(KILLS), EARLY_KILLS))
    async with client(server) as http, talking(town) as talkers:
        for turn in range(KILLS):
            await town.speak_up()
            await run_on(talkers, random.uniform(0, UPTIME_S))
            await asyncio.to_thread(server.kill)
            if turn in early:
                await asyncio.to_thread(server.start, wait=False)
                await run_on(talkers, random.uniform(0, EARLY_S))
                await asyncio.to_thread(server.kill)
            town.hush()
            await asyncio.to_thread(server.start)
            await read_back(town, http)
        chats = await settled(town, http)
    check_heard(town, chats)
    acked = sum(len(talker.books.acked) for talker in town.everybody)
    void = sum(len(talker.books.rejected) for talker in town.everybody)
    print(f"{KILLS + EARLY_KILLS} kills, {acked} acknowledged, {void} of them void")
    assert acked >= 20 * KILLS
    assert void > 0, "no send was refused by the fold: the load does not try it"
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert server.stop() == 0
    check_views(server)


async def test_sigterm_loses_nothing_and_sends_everybody_away(make_server: MakeServer) -> None:
    server = make_server().start()
    town = await settle_town(server, Random(1))
    async with client(server) as http, talking(town):
        for talker in town.talkers:
            await talker.until(talker.has_been_answered)
        status = await asyncio.to_thread(server.stop)
        assert status == 0, server.printed()
        for talker in town.everybody:
            await talker.until(partial(talker.has_ended, 1))
            assert talker.codes[0] in (1001, 1012), talker.name
            assert talker.warnings == 1, "it is told to come back before the line is cut"
        await asyncio.to_thread(server.start)
        chats = await settled(town, http)
    check_heard(town, chats)
    assert server.stop() == 0
    check_views(server)


async def test_no_answer_goes_out_before_its_fsync(make_server: MakeServer, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    server = make_server(wrapper=strace(require("strace"), trace)).start()
    town = await settle_town(server, Random(2))
    over_http: list[str] = []
    async with client(server) as http, talking(town):
        chat_id, author = next(iter(town.readers.items()))
        for _ in range(20):
            over_http.append(uuid7(datetime.now(UTC)))
            body = {"message_id": over_http[-1], "kind": "TEXT", "text": "over HTTP"}
            answer = await http.post(f"/v1/chats/{chat_id}/messages", json=body, headers=author.headers)
            assert answer.status_code == 201, answer.text
        for talker in town.talkers:
            await talker.until(talker.has_been_answered)
        await settled(town, http)
    assert server.stop() == 0
    calls = read_calls(trace.read_text(errors="replace").splitlines())
    wal = str(server.data.resolve() / "log.db-wal")
    acked = [*over_http, *(message_id for talker in town.everybody for message_id in talker.books.acked)]
    wrong = {message_id: durable_before_told(calls, wal, message_id) for message_id in acked}
    assert {message_id: why for message_id, why in wrong.items() if why} == {}
    syncs = sum(call.is_sync and call.path == wal for call in calls)
    print(f"{len(acked)} answers, {syncs} syncs of the log")
