"""The audit accounts for every record, and finds whatever does not add up."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from infra.layout import views_file
from tests.live.generations.test_dead_letters import poison
from tests.live.generations.test_rebuilding import make, talk
from tests.support.cli import run
from tests.support.history import ROOM


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
