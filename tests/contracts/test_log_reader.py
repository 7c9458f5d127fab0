"""The contract of log readers, on SQLite and on Kafka: what a tool sees beside whoever writes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from commands.errors import Unavailable
from events.ids import unix_ms, uuid7
from events.log import Record
from events.partitioner import partition_of
from infra.kafka.log import KafkaLog
from infra.kafka.log_reader import KafkaLogReader
from infra.sqlite.log import SqliteLog
from infra.sqlite.log_reader import SqliteLogReader
from streams.log_reader import LogReader, NoLog
from streams.places import BadPlace, offsets_as_of, offsets_of
from tests.support.history import NOON, ROOM, Clock
from tests.support.logs import Log, append, event
from tests.support.services import fresh_topic

KAFKA = pytest.mark.needs("kafka")
ROOMS = [uuid7(NOON) for _ in range(20)]


@dataclass
class Place:
    """A log that is being written, and how to come by a reader of it."""

    log: Log
    reader_of: Callable[[], LogReader]
    clock: Clock = field(default_factory=Clock)
    readers: list[LogReader] = field(default_factory=list)

    async def reader(self) -> LogReader:
        reader = await asyncio.to_thread(self.reader_of)
        self.readers.append(reader)
        return reader

    async def later(self) -> None:
        """Return once the log's clock has moved on by two milliseconds at least."""
        self.clock.move(1)
        if isinstance(self.log, KafkaLog):
            # The broker has a clock of its own: append until it shows another time.
            probe = uuid7(NOON)
            partition, stamps = partition_of(probe, self.log.partitions), list[int]()
            while not stamps or stamps[-1] < stamps[0] + 2:
                [position] = await append(self.log, event(0, probe))
                stamps += [record.timestamp_ms for record in await self.log.read(partition, position.offset, 1)]


@pytest.fixture(
    params=[
        pytest.param(("sqlite", 1), id="sqlite, one partition"),
        pytest.param(("sqlite", 4), id="sqlite, four partitions"),
        pytest.param(("kafka", 1), id="kafka, one partition", marks=KAFKA),
        pytest.param(("kafka", 4), id="kafka, four partitions", marks=KAFKA),
    ]
)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    adapter, partitions = request.param
    if adapter == "sqlite":
        clock = Clock()
        place = Place(
            SqliteLog(tmp_path / "log.db", clock, partitions), lambda: SqliteLogReader(tmp_path / "log.db"), clock
        )
    else:
        bootstrap, topic = request.getfixturevalue("kafka").bootstrap, fresh_topic()
        log = await KafkaLog.open(bootstrap, partitions, topic=topic)
        place = Place(log, lambda: KafkaLogReader(bootstrap, topic))
    yield place
    for reader in place.readers:
        await asyncio.to_thread(reader.close)
    await place.log.close()


def everything(reader: LogReader, ends: dict[int, int], key: str | None = None) -> list[Record]:
    return [
        record
        for partition, end in ends.items()
        for batch in reader.batches(partition, 0, end, key)
        for record in batch
    ]


async def test_a_reader_knows_the_log_by_its_name_and_partitions(place: Place) -> None:
    reader = await place.reader()
    assert (reader.incarnation, reader.partitions) == (place.log.incarnation, place.log.partitions)
    assert reader.ends() == dict.fromkeys(range(reader.partitions), 0)


async def test_it_sees_what_was_written_before_and_after_it_came(place: Place) -> None:
    await append(place.log, *(event(number, room) for number in range(3) for room in ROOMS))
    reader = await place.reader()
    first = await asyncio.to_thread(reader.ends)
    assert first == await place.log.end()
    await append(place.log, *(event(3, room) for room in ROOMS))
    assert await asyncio.to_thread(reader.ends) == await place.log.end()
    for partition, end in (await place.log.end()).items():
        assert reader.records(partition, 0, 1_000) == list(await place.log.read(partition, 0, 1_000))
        # Rooms fall where they fall: now and then a partition has none.
        assert [record.offset for record in reader.records(partition, 1, 2)] == [1, 2][: max(0, end - 1)]
        assert await reader.read(partition, end, 10) == []
        assert await reader.read(partition, end - 1, 10) == list(await place.log.read(partition, end - 1, 10))


async def test_batches_give_exactly_what_lies_before_the_end(place: Place) -> None:
    await append(place.log, *(event(number) for number in range(2_500)))
    reader = await place.reader()
    home = partition_of(ROOM, reader.partitions)
    batches = list(reader.batches(home, 700, 2_345))
    assert [record.offset for batch in batches for record in batch] == list(range(700, 2_345))
    assert max(map(len, batches)) <= 1_000
    assert list(reader.batches(home, 5, 5)) == []
    with pytest.raises(Unavailable, match=f"no record at {home}:2500"):
        list(reader.batches(home, 2_400, 2_501))


async def test_large_records_come_in_smaller_batches(place: Place) -> None:
    answers: list[object] = []
    for _ in range(120):
        place.log.append_raw(ROOM, b"x" * 100_000, lambda position, error: answers.append(position))
    reader = await place.reader()
    home = partition_of(ROOM, reader.partitions)
    await place.log.wait(home, 119)
    for key in (None, ROOM):
        sizes = [sum(len(record.value) for record in batch) for batch in reader.batches(home, 0, 120, key)]
        assert sum(sizes) == 120 * 100_000
        assert max(sizes) < 5 * 1024 * 1024


async def test_one_chat_can_be_read_alone(place: Place) -> None:
    await append(place.log, *(event(number, room) for number in range(5) for room in ROOMS))
    reader = await place.reader()
    ends = await asyncio.to_thread(reader.ends)
    alone = everything(reader, ends, ROOMS[3])
    assert alone == [record for record in everything(reader, ends) if record.key == ROOMS[3]]
    assert len(alone) == 5
    home = partition_of(ROOMS[3], reader.partitions)
    part = [record for batch in reader.batches(home, 0, alone[2].offset, ROOMS[3]) for record in batch]
    assert part == alone[:2]


async def test_a_time_stands_for_the_first_record_since_then_in_each_partition(place: Place) -> None:
    await append(place.log, *(event(1, room) for room in ROOMS))
    between = await place.log.end()
    await place.later()
    middle = await place.log.end()
    await append(place.log, *(event(2, room) for room in ROOMS))
    reader = await place.reader()
    ends = await asyncio.to_thread(reader.ends)
    records = everything(reader, ends)
    for at_ms in {record.timestamp_ms for record in records}:
        found = reader.offsets_at(at_ms)
        for partition, end in ends.items():
            own = [record for record in records if record.partition == partition]
            since = [record.offset for record in own if record.timestamp_ms >= at_ms]
            assert found[partition] == (min(since) if since else end)
    assert reader.offsets_at(0) == dict.fromkeys(ends, 0)
    assert reader.offsets_at(unix_ms(NOON) * 2) == ends
    earliest = min(record.timestamp_ms for record in records if record.offset >= middle[record.partition])
    assert all(
        between[partition] <= offset <= ends[partition] for partition, offset in reader.offsets_at(earliest).items()
    )


async def test_as_of_a_record_is_everything_up_to_it_and_nothing_later(place: Place) -> None:
    await append(place.log, *(event(1, room) for room in ROOMS))
    await place.later()
    [position] = await append(place.log, event(2, ROOMS[0]))
    then = await place.log.end()
    await place.later()
    await append(place.log, *(event(3, room) for room in ROOMS))
    reader = await place.reader()
    ends = await asyncio.to_thread(reader.ends)
    assert offsets_as_of(str(position), reader, ends, NOON) == then
    [record] = reader.records(*position, 1)
    stamp = (NOON + timedelta(milliseconds=record.timestamp_ms - unix_ms(NOON))).isoformat()
    assert offsets_as_of(stamp, reader, ends, NOON)[position.partition] == position.offset + 1
    assert offsets_of(stamp, reader, ends, NOON)[position.partition] <= position.offset
    with pytest.raises(BadPlace, match="no record at"):
        offsets_as_of(f"0:{ends[0]}", reader, ends, NOON)


async def test_reading_goes_on_while_others_write(place: Place) -> None:
    reader = await place.reader()
    home = partition_of(ROOM, reader.partitions)
    writing = asyncio.ensure_future(append(place.log, *(event(number) for number in range(3_000))))
    seen: list[int] = []
    while len(seen) < 3_000:
        seen += [record.offset for record in await asyncio.to_thread(reader.records, home, len(seen), 500)]
    assert seen == list(range(3_000))
    await writing


def test_where_there_is_no_file_there_is_no_log_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoLog, match=str(tmp_path)):
        SqliteLogReader(tmp_path / "log.db")
    assert list(tmp_path.iterdir()) == []


@KAFKA
def test_where_there_is_no_topic_there_is_no_log_and_none_is_made(request: pytest.FixtureRequest) -> None:
    bootstrap, topic = request.getfixturevalue("kafka").bootstrap, f"test-{uuid.uuid4()}"
    for _ in range(2):
        with pytest.raises(NoLog, match=topic):
            KafkaLogReader(bootstrap, topic)


async def test_append_times_of_the_embedded_log_never_run_backwards(tmp_path: Path) -> None:
    clock = Clock()
    log = SqliteLog(tmp_path / "log.db", clock, 2)
    await append(log, *(event(1, room) for room in ROOMS))
    clock.move(-3600)
    await append(log, *(event(2, room) for room in ROOMS))
    await log.close()
    again = SqliteLog(tmp_path / "log.db", clock, 2)
    await append(again, *(event(3, room) for room in ROOMS))
    await again.close()
    reader = SqliteLogReader(tmp_path / "log.db")
    stamps = {record.timestamp_ms for record in everything(reader, reader.ends())}
    assert stamps == {unix_ms(NOON)}
    reader.close()
