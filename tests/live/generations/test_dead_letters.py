"""A poisoned record parks its chat alone; what waits is released in order, on a running server and without one."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import streams.batch
from events.ids import uuid7
from events.types import MessageRead, MessageSent
from infra.layout import log_file
from infra.sqlite.log import SqliteLog
from projections.fold import fold_record
from tests.live.conftest import MakeServer
from tests.live.generations.test_rebuilding import make, talk, verdict
from tests.support.cli import run
from tests.support.history import ANA, BEN, NOON, ROOM, Clock, History
from tests.support.logs import append_all


def poison(data: Path) -> None:
    """Two broken records in the room with two messages behind each."""

    async def work() -> None:
        log = SqliteLog(log_file(data), Clock())
        history = History()
        for number in range(2):
            history.add_raw(ROOM, b"{broken")
            for more in range(2):
                at = NOON + timedelta(seconds=60 + 10 * number + more)
                history.add(BEN, MessageSent(uuid7(at), "TEXT", b"x"))
        await append_all(log, [(record.key, record.value) for record in history.records])
        await log.close()

    asyncio.run(work())


def test_what_waits_is_released_once_its_poison_is_discarded(make_server: MakeServer) -> None:
    server = make_server()
    server.data.mkdir(parents=True, exist_ok=True)
    make(server.data, talk())
    poison(server.data)
    server.start()
    [listed] = [json.loads(line) for line in server.tidings("dead-letters", "list", "--json").splitlines()]
    assert (listed["chat_id"], listed["position"], listed["waiting"]) == (ROOM, "0:11", 5)
    assert listed["error"].startswith("not an event")
    shown = [json.loads(line) for line in server.tidings("dead-letters", "show", ROOM, "--json").splitlines()]
    assert [each["type"] for each in shown] == ["?", *["message.sent"] * 2, "?", *["message.sent"] * 2]
    again = run(server.data, "dead-letters", "retry", ROOM)
    assert again.status == 1
    assert "still parked at 0:11" in again.stdout
    first = run(server.data, "dead-letters", "discard", "0:11")
    assert first.status == 1
    assert "still parked at 0:14" in first.stdout
    assert f"chat {ROOM} is released" in server.tidings("dead-letters", "discard", "0:14")
    assert server.tidings("dead-letters", "list") == ""
    assert server.stop() == 0
    assert run(server.data, "projections", "rebuild", "timeline").status == 0
    compared = verdict(server.data)
    assert (compared["verdict"], compared["entries"]) == ("same", 15)


def test_what_was_discarded_is_passed_over_by_whoever_looks_back_or_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that parked its chat by a defect that was mended since, after somebody had discarded it."""

    def failing(changes: Any, hot: Any, record: Any, *rest: Any) -> None:
        if record.offset == 5:
            raise ValueError("a defect")
        fold_record(changes, hot, record, *rest)

    reading = History()
    reading.add(ANA, MessageRead(11))
    with monkeypatch.context() as old_code:
        old_code.setattr(streams.batch, "fold_record", failing)
        make(tmp_path, talk())
        assert run(tmp_path, "dead-letters", "discard", "0:5").status == 0
        make(tmp_path, [(record.key, record.value) for record in reading.records])

    def at(place: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(run(tmp_path, "at", place, "chat", ROOM).stdout)
        return told

    assert at("0:4")["head_seq"] == 5
    assert at("0:9")["head_seq"] == 5, "it stood still then"
    assert [message["seq"] for message in at("end")["messages"]] == list(range(2, 11))
    counted = json.loads(run(tmp_path, "audit", "--json").stdout)
    assert (counted["mismatched"], counted["partitions"][0]["void"]) == (0, 2)
    assert json.loads(run(tmp_path, "stats", "--format", "json").stdout)["refused"] == 1, "there is no message 11"
    [item] = json.loads(run(tmp_path, "at", "end", "inbox", ANA).stdout)["items"]
    assert item["head_seq"] == 10


def test_without_a_server_it_is_noted_and_done_at_the_next_start(tmp_path: Path) -> None:
    make(tmp_path, talk())
    assert "is not parked" in run(tmp_path, "dead-letters", "retry", ROOM).stderr
    assert "no chat is parked at 0:3" in run(tmp_path, "dead-letters", "discard", "0:3").stderr
    assert "not a position" in run(tmp_path, "dead-letters", "discard", "3").stderr
