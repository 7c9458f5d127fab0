"""What the SQLite log promises beyond the event log's contract."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

import infra.sqlite.log
from commands.errors import TidingsError, Unavailable
from events.codec import decode
from events.log import Position
from events.types import MessageRead
from infra.sqlite.log import SqliteLog
from tests.support.history import Clock
from tests.support.logs import append, event


async def test_a_log_opened_again_numbers_on_and_keeps_its_name(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    await append(log, event(0), event(1))
    await log.close()
    again = SqliteLog(tmp_path / "log.db", Clock(), partitions=8)
    assert (again.incarnation, again.partitions) == (log.incarnation, 1)
    assert await append(again, event(2)) == [Position(0, 2)]
    await again.close()


async def test_appends_of_one_moment_share_a_commit(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    await append(log, *(event(number) for number in range(200)))
    assert log.commits == 1
    await log.close()


async def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    assert log._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert log._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await log.close()


async def test_the_write_ahead_log_stays_small_while_writing_goes_on(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock(), checkpoint_bytes=100_000)
    wal = tmp_path / "log.db-wal"
    largest = 0
    for number in range(1_500):
        await append(log, event(number))
        largest = max(largest, wal.stat().st_size)
    assert 100_000 < largest < 1_000_000, "1,500 commits write some 6 MB of pages"
    assert await log.end() == {0: 1_500}
    await log.close()


class Disk:
    """Stands before the connection and fails what it is told to, as a full or broken disk does."""

    def __init__(self, db: sqlite3.Connection, fails: Callable[[str], bool]) -> None:
        self._db = db
        self._fails = fails

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if self._fails(statement):
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(statement, values)

    def executemany(self, statement: str, rows: list[tuple[object, ...]]) -> sqlite3.Cursor:
        return self._db.executemany(statement, rows)

    def close(self) -> None:
        self._db.close()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
async def test_after_a_failed_commit_the_outcome_is_unknown_and_the_log_goes_on(tmp_path: Path, statement: str) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    await append(log, event(0))
    log._db = Disk(log._db, lambda asked: asked == statement)  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await append(log, event(1), event(2))
    assert await append(log, event(3)) == [Position(0, 1)]
    records = await log.read(0, 0, 10)
    assert [decode(record.value).event.data for record in records] == [MessageRead(0), MessageRead(3)]
    await log.close()


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "failed"])
async def test_who_raises_at_the_answer_keeps_no_other_from_theirs_and_the_fold_awake(
    tmp_path: Path, fails: bool
) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    if fails:
        log._db = Disk(log._db, lambda asked: asked == "COMMIT")  # type: ignore[assignment]
    answered: list[int] = []

    def done(number: int, position: Position | None, error: TidingsError | None) -> None:
        answered.append(number)
        assert (position is None) is fails
        if number % 2 == 0:
            raise ZeroDivisionError

    waiting = asyncio.create_task(log.wait(0, 0))
    for number in range(4):
        log.append(event(number), partial(done, number))
    if fails:
        with suppress(Unavailable):  # it shares their commit
            await append(log, event(4))
        await append(log, event(5))
    await asyncio.wait_for(waiting, 10)
    assert answered == [0, 1, 2, 3]
    await log.close()


async def test_a_log_that_could_not_commit_is_not_ready_until_it_can(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    await log.ping()
    log._db = Disk(log._db, lambda asked: asked == "COMMIT")  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await append(log, event(0))
    log._db = Disk(log._db, lambda asked: True)  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await log.ping()
    log._db = log._db._db  # type: ignore[attr-defined]
    await log.ping()
    assert await append(log, event(1)) == [Position(0, 0)]
    await log.close()


async def test_a_log_whose_disk_is_full_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    monkeypatch.setattr(infra.sqlite.log, "LEAST_ROOM", 2**62)
    with pytest.raises(Unavailable, match="full"):
        await log.ping()
    await log.close()


async def test_a_log_that_cannot_be_opened_again_answers_everybody_and_goes_on_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())

    def closed_for_good(partitions: int) -> None:
        (tmp_path / "log.db-wal").unlink(missing_ok=True)  # as where the folder is away
        raise Unavailable("no such folder")

    log._db = Disk(log._db, lambda asked: asked == "COMMIT")  # type: ignore[assignment]
    monkeypatch.setattr(log, "_open", closed_for_good)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(append(log, event(0)), 5)
    monkeypatch.undo()
    with pytest.raises(Unavailable):  # this one finds it closed, and opens it
        await asyncio.wait_for(append(log, event(1)), 5)
    assert await asyncio.wait_for(append(log, event(2)), 5) == [Position(0, 0)]
    await log.close()
