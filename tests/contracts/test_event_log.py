"""The event log's contract, on SQLite and on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commands.errors import TidingsError, Unavailable
from events.codec import decode
from events.ids import uuid7
from events.log import Position
from events.partitioner import partition_of
from events.types import MessageRead
from infra.kafka.log import KafkaLog
from infra.sqlite.log import TAIL_RECORDS, SqliteLog
from tests.support.history import NOON, ROOM, Clock
from tests.support.logs import Log, append, event
from tests.support.services import fresh_topic

KAFKA = pytest.mark.needs("kafka")


@pytest.fixture(
    params=[
        pytest.param(("sqlite", 1), id="sqlite, one partition"),
        pytest.param(("sqlite", 4), id="sqlite, four partitions"),
        pytest.param(("kafka", 1), id="kafka, one partition", marks=KAFKA),
        pytest.param(("kafka", 4), id="kafka, four partitions", marks=KAFKA),
    ]
)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    adapter, partitions = request.param
    log: Log
    if adapter == "sqlite":
        log = SqliteLog(tmp_path / "log.db", Clock(), partitions)
    else:
        log = await KafkaLog.open(request.getfixturevalue("kafka").bootstrap, partitions, topic=fresh_topic())
    yield log
    await log.close()


async def test_what_is_appended_is_read_back_in_order(log: Log) -> None:
    positions = await append(log, *(event(number) for number in range(1, 6)))
    partition = partition_of(ROOM, log.partitions)
    assert positions == [Position(partition, offset) for offset in range(5)]
    records = await log.read(partition, 0, 10)
    assert [decode(record.value).event.data for record in records] == [MessageRead(n) for n in range(1, 6)]
    assert [(record.partition, record.offset, record.key) for record in records] == [
        (partition, offset, ROOM) for offset in range(5)
    ]
    assert await log.end() == {p: 5 if p == partition else 0 for p in range(log.partitions)}


async def test_reading_starts_anywhere_and_stops_at_the_limit(log: Log) -> None:
    await append(log, *(event(number) for number in range(10)))
    partition = partition_of(ROOM, log.partitions)
    assert [record.offset for record in await log.read(partition, 3, 4)] == [3, 4, 5, 6]
    assert list(await log.read(partition, 10, 4)) == []
    assert list(await log.read(partition, 99, 4)) == []


async def test_records_beyond_memory_come_from_the_store(log: Log) -> None:
    await append(log, *(event(number) for number in range(TAIL_RECORDS + 10)))
    partition = partition_of(ROOM, log.partitions)
    first = await log.read(partition, 0, 2)
    assert [decode(record.value).event.data for record in first] == [MessageRead(0), MessageRead(1)]
    across = await log.read(partition, 5, TAIL_RECORDS)
    assert [record.offset for record in across] == list(range(5, 5 + len(across)))


async def test_waiting_ends_when_the_record_is_durable(log: Log) -> None:
    partition = partition_of(ROOM, log.partitions)
    waiting = asyncio.create_task(log.wait(partition, 1))
    await append(log, event(0))
    assert not waiting.done()
    await append(log, event(1))
    await waiting
    await log.wait(partition, 0)
    assert [record.offset for record in await log.read(partition, 1, 10)] == [1]


async def test_who_no_longer_waits_disturbs_nobody(log: Log) -> None:
    partition = partition_of(ROOM, log.partitions)
    await append(log, event(0))
    waiting = asyncio.create_task(log.wait(partition, 5))
    await asyncio.wait([waiting], timeout=0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    await append(log, event(1))
    assert [record.offset for record in await log.read(partition, 0, 10)] == [0, 1]
    assert [record.offset for record in await log.read(partition, 1, 10)] == [1]


async def test_going_back_gives_the_same_records_again(log: Log) -> None:
    await append(log, *(event(number) for number in range(50)))
    partition = partition_of(ROOM, log.partitions)
    first = [*await log.read(partition, 0, 20)]
    await log.read(partition, 20, 30)
    assert [*await log.read(partition, 0, 20)] == first


async def test_chats_are_spread_over_partitions_and_each_keeps_its_own(log: Log) -> None:
    rooms = [uuid7(NOON) for _ in range(20)]
    positions = await append(log, *(event(number, room) for number in range(3) for room in rooms))
    homes = [partition_of(room, log.partitions) for room in rooms]
    assert [position.partition for position in positions] == homes * 3
    for partition, end in (await log.end()).items():
        records = await log.read(partition, 0, 100)
        assert len(records) == end == 3 * homes.count(partition)
        for room in {record.key for record in records}:
            own = [decode(record.value).event.data for record in records if record.key == room]
            assert own == [MessageRead(0), MessageRead(1), MessageRead(2)]


async def test_bytes_that_nobody_here_wrote_are_kept_as_they_are(log: Log) -> None:
    answers: list[Position | None] = []
    log.append_raw(ROOM, b"\xff\x00 not ours", lambda position, error: answers.append(position))
    partition = partition_of(ROOM, log.partitions)
    await log.wait(partition, 0)
    assert [record.value for record in await log.read(partition, 0, 10)] == [b"\xff\x00 not ours"]
    await append(log, event(1))
    assert answers == [Position(partition, 0)]


async def test_an_open_log_answers_a_ping(log: Log) -> None:
    await log.ping()


async def test_closing_waits_for_what_is_under_way_and_refuses_the_rest(log: Log) -> None:
    answers: list[tuple[Position | None, TidingsError | None]] = []
    log.append(event(0), lambda position, error: answers.append((position, error)))
    await log.close()
    log.append(event(1), lambda position, error: answers.append((position, error)))
    assert answers[0] == (Position(partition_of(ROOM, log.partitions), 0), None)
    assert answers[1][0] is None
    assert isinstance(answers[1][1], Unavailable)


async def test_a_record_gives_back_the_trace_that_it_was_appended_with(log: Log) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answered = asyncio.get_running_loop().create_future()
    log.append_traced(event(1), lambda position, error: answered.set_result((position, error)), trace)
    assert (await answered)[1] is None
    await append(log, event(2))
    partition = partition_of(ROOM, log.partitions)
    assert [record.trace for record in await log.read(partition, 0, 10)] == [trace, ""]
    if isinstance(log, SqliteLog):
        assert [record.trace for record in log.read_stored(partition, 0, 10)] == [trace, ""]
