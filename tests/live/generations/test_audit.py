"""The audit accounts for every record, and finds whatever does not add up."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from events.ids import uuid7
from events.types import MessageSent
from infra.layout import views_file
from tests.live.generations.test_dead_letters import poison
from tests.live.generations.test_rebuilding import make, talk
from tests.support.cli import environment, run
from tests.support.history import BEN, NOON, ROOM, History
from tests.support.prometheus import check_told, sample
from tests.support.server import ROOT

OUTCOMES = ("applied", "void", "repeats", "parked")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make(tmp_path, talk())
    poison(tmp_path)
    make(tmp_path, [])  # folds what was appended
    return tmp_path


def audited(data: Path, status: int) -> dict[str, Any]:
    done = run(data, "audit", "--json")
    assert done.status == status, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_record_is_applied_void_a_repeat_or_parked(data: Path) -> None:
    told = audited(data, 0)
    [partition] = told["partitions"]
    assert (partition["events"], partition["applied"], partition["parked"]) == (17, 11, 6)
    assert (told["mismatched"], told["mismatches"]) == (0, [])
    assert "all is counted" in run(data, "audit").stdout


def test_duckdb_counts_the_same_records(data: Path) -> None:
    history = History()
    at = NOON + timedelta(seconds=90)
    for _ in range(2):
        history.add(BEN, MessageSent(uuid7(at), "TEXT", b"x"), chat_id=uuid7(at))  # of a chat that there is not
    make(data, [(record.key, record.value) for record in history.records])
    assert run(data, "dead-letters", "discard", "0:11").status == 0
    make(data, [])
    [partition] = audited(data, 0)["partitions"]
    assert min(partition[each] for each in ("applied", "void", "parked")) > 0
    query = "SELECT count(*) AS n FROM (SELECT position FROM events UNION ALL SELECT position FROM unreadable)"
    whole = json.loads(run(data, "sql", query, "--output", "json").stdout)
    assert whole["n"] == partition["events"] == sum(partition[each] for each in OUTCOMES)


def test_prometheus_is_told_what_the_last_round_found(data: Path) -> None:
    with auditing(data) as url:
        told = settled(url, mismatched=0)
        check_told(told, "audit")
        outcomes = [sample(told, "tidings_audit_records", partition="0", outcome=each) for each in OUTCOMES]
        assert outcomes == [11, 0, 0, 6]
        assert sample(told, "tidings_generation_lag", generation="1") == 0
        assert sample(told, "tidings_generation_parked_chats", generation="1") == 1
        with sqlite3.connect(views_file(data)) as db:
            db.execute("UPDATE chats SET applied = applied - 1")
        settled(url, mismatched=1)
        with sqlite3.connect(views_file(data)) as db:
            db.execute("UPDATE chats SET applied = applied + 1")
        settled(url, mismatched=0)


@contextmanager
def auditing(data: Path) -> Iterator[str]:
    """Rounds without a pause, in a process of their own, and where it tells of them."""
    command = [sys.executable, "-m", "infra.cli", "audit", "--continuous", "--every", "0.1", "--port", "0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(data), cwd=ROOT
    ) as process:
        try:
            assert process.stderr is not None
            words = next(line for line in process.stderr if "metrics at" in line).split()
            yield words[-1]
            assert process.poll() is None, "a round ended it"
        finally:
            process.terminate()


def settled(url: str, *, mismatched: int) -> str:
    """What is told once a round has found so many chats."""
    until = time.monotonic() + 60
    while True:
        told = httpx.get(url).text
        if "tidings_audit_rounds" in told and sample(told, "tidings_audit_mismatched_chats") == mismatched:
            return told
        assert time.monotonic() < until, told


def test_a_port_is_for_an_audit_that_goes_on(data: Path) -> None:
    done = run(data, "audit", "--port", "0")
    assert done.status == 2
    assert "add --continuous" in done.stderr


def test_a_port_that_is_taken_is_told(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(data, "audit", "--continuous", "--port", str(taken.getsockname()[1]))
    assert done.status == 2
    assert "take another --port" in done.stderr


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE chats SET applied = applied - 1", "17 records, but 10 applied"),
        ("DELETE FROM parked WHERE offset = 13", "and 5 parked"),
        ("DELETE FROM timeline WHERE place & 4294967295 = 4", "seq 3 is followed by 5"),
        ("UPDATE timeline SET n = 7 WHERE place & 4294967295 = 3", "seq 3 has n 7 after 1"),
        ("UPDATE chats SET n = 4", "the head says"),
        ("DELETE FROM timeline WHERE place & 4294967295 = 11", "the head says"),
        ("UPDATE members SET delivered_seq = 99", "received 99 of 11"),
        ("UPDATE members SET read_n = 3 WHERE read_n = 0", "has 7 unread, recounted 10"),
        ("DELETE FROM chats", "17 records, but 0 applied"),
    ],
)
def test_what_does_not_add_up_is_found(data: Path, statement: str, says: str) -> None:
    with sqlite3.connect(views_file(data)) as db:
        db.execute(statement)
    db.close()
    told = audited(data, 1)
    assert told["mismatched"] == 1
    assert told["mismatches"][0]["chat_id"] == ROOM
    assert any(says in each["what"] for each in told["mismatches"]), told["mismatches"]
    assert run(data, "audit", "--continuous", "--every", "0").status == 1
