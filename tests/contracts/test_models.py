"""A read model of one's own: backfilled, then live, with nothing told of the past and nothing counted twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from events.codec import encode, make
from events.ids import unix_ms, uuid7
from events.types import MessageSent
from infra.sqlite.model_store import SqliteModelStore
from projections.models.activity import Activity
from projections.ports import LogMismatch
from streams.models import ModelRunner
from tests.support.history import ANA, BEN, NOON, ROOM
from tests.support.records import KeptLog


def say(log: KeptLog, actor_id: str, hours: float, partition: int = 0) -> None:
    at = NOON + timedelta(hours=hours)
    sent = make(uuid7(at), ROOM, actor_id, at, MessageSent(uuid7(at), "TEXT", b"x"))
    log.add(partition, ROOM, encode(sent), unix_ms(at))


@pytest.fixture
def log() -> KeptLog:
    log = KeptLog(2)
    say(log, ANA, 0)
    say(log, ANA, 1)
    say(log, BEN, 2)
    log.add(0, ROOM, b"{broken", unix_ms(NOON))
    say(log, ANA, 50)
    say(log, ANA, 51, partition=1)
    return log


def summary(store: SqliteModelStore) -> list[dict[str, Any]]:
    return list(Activity().summary(store.rows()))


EXPECTED = [
    {"day": "2026-03-01", "active_users": 2, "replies": 1, "mean_reply_s": 3_600.0},
    {"day": "2026-03-03", "active_users": 1, "replies": 1, "mean_reply_s": 48 * 3_600.0},
]


def test_it_is_backfilled_in_silence_and_then_speaks(log: KeptLog, tmp_path: Path) -> None:
    store, told = SqliteModelStore(tmp_path / "model.db", "kept"), list[str]()
    runner = ModelRunner(log, Activity(), store, told.append)
    assert sum(runner.catch_up()) == 6
    assert summary(store) == EXPECTED
    assert (told, runner.muted) == ([], 1)
    say(log, BEN, 50 + 30)
    assert sum(runner.catch_up()) == 1
    assert told == [f"chat {ROOM} was answered after 30 hours"]
    assert sum(runner.catch_up()) == 0
    store.close()


def test_one_that_was_stopped_goes_on_and_counts_nothing_twice(log: KeptLog, tmp_path: Path) -> None:
    class Breaks(Activity):
        def fold(self, rows: Any, record: Any, event: Any) -> Any:
            if record.partition == 1:
                raise KeyboardInterrupt
            return super().fold(rows, record, event)

    store = SqliteModelStore(tmp_path / "model.db", "kept")
    with pytest.raises(KeyboardInterrupt):
        list(ModelRunner(log, Breaks(), store, print).catch_up())
    assert store.positions() == {0: 5}
    store.close()
    again = SqliteModelStore(tmp_path / "model.db", "kept")
    assert sum(ModelRunner(log, Activity(), again, print).catch_up()) == 1
    assert summary(again) == EXPECTED
    again.close()


def test_rows_of_another_log_are_refused(tmp_path: Path) -> None:
    SqliteModelStore(tmp_path / "model.db", "one").close()
    with pytest.raises(LogMismatch, match="folded from the log one"):
        SqliteModelStore(tmp_path / "model.db", "another")
