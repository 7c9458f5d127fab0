"""The event log's contract. Today one adapter; Kafka's will meet the same cases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from commands.errors import TidingsError, Unavailable
from events.codec import Event, decode, make
from events.ids import uuid7
from events.log import Position
from events.partitioner import partition_of
from events.types import MessageRead
from infra.sqlite.log import TAIL_RECORDS, SqliteLog
from tests.support.history import ANA, NOON, ROOM, Clock

OTHER = uuid7(NOON)


def event(number: int, chat_id: str = ROOM) -> Event:
    return make(uuid7(NOON), chat_id, ANA, NOON, MessageRead(number))


async def append(log: SqliteLog, *events: Event) -> list[Position]:
    """Append all at once and wait for every answer."""
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[Position]] = []
    for one in events:
        answer: asyncio.Future[Position] = loop.create_future()

        def done(
            position: Position | None, error: TidingsError | None, answer: asyncio.Future[Position] = answer
        ) -> None:
            if error is not None:
                answer.set_exception(error)
            else:
                assert position is not None
                answer.set_result(position)

        log.append(one, done)
        answers.append(answer)
    return await asyncio.gather(*answers)


@pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", Clock(), request.param)
    yield log
    await log.close()


async def test_what_is_appended_is_read_back_in_order(log: SqliteLog) -> None:
    positions = await append(log, *(event(number) for number in range(1, 6)))
    partition = partition_of(ROOM, log.partitions)
    assert positions == [Position(partition, offset) for offset in range(5)]
    records = await log.read(partition, 0, 10)
    assert [decode(record.value).event.data for record in records] == [MessageRead(n) for n in range(1, 6)]
    assert [(record.partition, record.offset, record.key) for record in records] == [
        (partition, offset, ROOM) for offset in range(5)
    ]
    assert await log.end() == {p: 5 if p == partition else 0 for p in range(log.partitions)}


async def test_reading_starts_anywhere_and_stops_at_the_limit(log: SqliteLog) -> None:
    await append(log, *(event(number) for number in range(10)))
    partition = partition_of(ROOM, log.partitions)
    assert [record.offset for record in await log.read(partition, 3, 4)] == [3, 4, 5, 6]
    assert list(await log.read(partition, 10, 4)) == []
    assert list(await log.read(partition, 99, 4)) == []


async def test_records_beyond_memory_come_from_the_store(log: SqliteLog) -> None:
    await append(log, *(event(number) for number in range(TAIL_RECORDS + 10)))
    partition = partition_of(ROOM, log.partitions)
    first = await log.read(partition, 0, 2)
    assert [decode(record.value).event.data for record in first] == [MessageRead(0), MessageRead(1)]
    across = await log.read(partition, 5, TAIL_RECORDS)
    assert [record.offset for record in across] == list(range(5, 5 + len(across)))


async def test_waiting_ends_when_the_record_is_durable(log: SqliteLog) -> None:
    partition = partition_of(ROOM, log.partitions)
    waiting = asyncio.create_task(log.wait(partition, 1))
    await append(log, event(0))
    assert not waiting.done()
    await append(log, event(1))
    await waiting
    await log.wait(partition, 0)


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

    def execute(self, statement: str) -> sqlite3.Cursor:
        if self._fails(statement):
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(statement)

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


async def test_closing_commits_what_is_queued_and_refuses_the_rest(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock())
    answers: list[tuple[Position | None, TidingsError | None]] = []
    log.append(event(0), lambda position, error: answers.append((position, error)))
    await log.close()
    log.append(event(1), lambda position, error: answers.append((position, error)))
    assert answers[0] == (Position(0, 0), None)
    assert answers[1][0] is None
    assert isinstance(answers[1][1], Unavailable)
