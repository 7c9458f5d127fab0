"""What the Kafka log promises beyond the event log's contract: bounds, failures, and topics as they must be."""

from __future__ import annotations

import asyncio
import ctypes
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from commands.errors import TidingsError, Unavailable
from events.codec import decode
from events.ids import uuid7
from events.log import Position
from events.partitioner import partition_of
from events.types import MessageRead
from infra.cluster.services import Kafka
from infra.kafka.client import answer
from infra.kafka.log import KafkaLog
from infra.kafka.sender import Sender
from infra.kafka.topics import TopicUnsuitable
from projections.ports import LogMismatch
from tests.support.history import NOON, ROOM
from tests.support.logs import Answers, append, event
from tests.support.needs import require
from tests.support.services import fresh_topic

BOUND_MS = 1_000


@pytest.fixture
def topic() -> str:
    return fresh_topic()


@pytest.fixture
async def log(kafka: Kafka, topic: str) -> AsyncIterator[KafkaLog]:
    log = await KafkaLog.open(kafka.bootstrap, 2, topic=topic, bound_ms=BOUND_MS)
    yield log
    await log.close()


@pytest.fixture
def admin(kafka: Kafka) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap})


async def open_and_close(kafka: Kafka, topic: str, partitions: int = 2) -> tuple[int, str]:
    log = await KafkaLog.open(kafka.bootstrap, partitions, topic=topic)
    await log.close()
    return log.partitions, log.incarnation


# --- topics ---


async def test_an_existing_log_keeps_its_partitions_and_its_name(kafka: Kafka, topic: str) -> None:
    first = await open_and_close(kafka, topic, 2)
    assert first[0] == 2
    assert await open_and_close(kafka, topic, 8) == first


async def test_several_may_open_a_new_log_at_once(kafka: Kafka, topic: str) -> None:
    assert len(set(await asyncio.gather(*(open_and_close(kafka, topic) for _ in range(3))))) == 1


async def test_a_topic_that_grew_is_refused(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    await open_and_close(kafka, topic)
    await answer(admin.create_partitions([NewPartitions(topic, 3)])[topic])
    with pytest.raises(TopicUnsuitable, match="3 partitions but was made with 2"):
        await open_and_close(kafka, topic)


async def test_a_topic_that_would_forget_is_refused(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    await open_and_close(kafka, topic)
    week = ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[week])
    await answer(admin.incremental_alter_configs([changed])[changed])
    with pytest.raises(TopicUnsuitable, match=r"retention\.ms=604800000"):
        await open_and_close(kafka, topic)


async def test_a_topic_made_anew_is_another_log(kafka: Kafka, admin: AdminClient, topic: str) -> None:
    first = await open_and_close(kafka, topic, 2)
    await answer(admin.delete_topics([topic])[topic])
    await gone(admin, topic)
    again = await open_and_close(kafka, topic, 3)
    assert again[0] == 3, "the old one's number of partitions does not bind it"
    assert again[1] != first[1]


async def gone(admin: AdminClient, topic: str) -> None:
    """Wait until the broker has deleted a topic."""
    while True:
        try:
            await answer(admin.describe_topics(TopicCollection([topic]))[topic])
        except Unavailable:
            return


async def test_records_carry_the_brokers_time_and_type_and_version(kafka: Kafka, log: KafkaLog, topic: str) -> None:
    await append(log, event(7))
    [record] = await log.read(partition_of(ROOM, 2), 0, 1)
    assert record.timestamp_ms > NOON.timestamp() * 1000, "not the time that the event tells"
    command = [require("kcat"), "-b", kafka.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J"]
    [line] = (await asyncio.to_thread(run, command)).splitlines()
    told = json.loads(line)
    assert (told["key"], told["headers"]) == (ROOM, ["type", "message.read", "version", "1"])
    assert json.loads(told["payload"])["data"] == {"up_to_seq": 7}


def run(command: list[str], told: str = "") -> str:
    return subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout


async def test_others_put_a_chat_into_the_same_partition(kafka: Kafka, log: KafkaLog, topic: str) -> None:
    rooms = [uuid7(NOON) for _ in range(20)]
    await append(log, *(event(1, room) for room in rooms))
    lines = "".join(f"{room}:not an event\n" for room in rooms)
    command = [require("kcat"), "-b", kafka.bootstrap, "-P", "-t", topic, "-K:", "-X", "partitioner=murmur2_random"]
    await asyncio.to_thread(run, command, lines)
    for partition in range(2):
        own = sorted(room for room in rooms if partition_of(room, 2) == partition)
        records = await log.read(partition, 0, 100)
        assert sorted(record.key for record in records) == sorted(own * 2)


async def test_a_log_that_lost_its_beginning_says_so(log: KafkaLog, admin: AdminClient, topic: str) -> None:
    await append(log, event(0), event(1), event(2))
    partition = partition_of(ROOM, 2)
    place = TopicPartition(topic, partition, 2)
    await answer(admin.delete_records([place])[place])
    with pytest.raises(LogMismatch):
        await log.read(partition, 0, 10)
    assert [record.offset for record in await log.read(partition, 2, 10)] == [2]


# --- while the broker is away ---


async def test_a_send_waits_to_a_bound_for_a_broker_that_does_not_answer(kafka: Kafka, log: KafkaLog) -> None:
    loop = asyncio.get_running_loop()
    await append(log, event(0))
    await asyncio.to_thread(kafka.pause)
    try:
        began = loop.time()
        with pytest.raises(Unavailable):
            await append(log, event(1))
        assert BOUND_MS / 1000 - 0.1 < loop.time() - began < BOUND_MS / 1000 + 2
    finally:
        await asyncio.to_thread(kafka.resume)
    positions = await eventually(log, 2)
    records = await log.read(positions[0].partition, 0, 10)
    numbers = [decode(record.value).event.data for record in records]
    assert numbers in ([MessageRead(0), MessageRead(2)], [MessageRead(0), MessageRead(1), MessageRead(2)])


async def test_a_broker_that_comes_back_in_time_gets_what_was_sent_meanwhile(kafka: Kafka, topic: str) -> None:
    log = await KafkaLog.open(kafka.bootstrap, 2, topic=topic, bound_ms=60_000)
    await append(log, event(0))
    await asyncio.to_thread(kafka.pause)
    try:
        late = asyncio.ensure_future(append(log, *(event(number) for number in range(1, 100))))
        await asyncio.wait([late], timeout=0.5)
        assert not late.done()
    finally:
        await asyncio.to_thread(kafka.resume)
    assert [position.offset for position in await late] == list(range(1, 100))
    await log.close()


@pytest.mark.timeout(180)
async def test_what_was_acknowledged_survives_the_brokers_death_once_and_in_order(kafka: Kafka, topic: str) -> None:
    log = await KafkaLog.open(kafka.bootstrap, 2, topic=topic, bound_ms=3_000)
    rooms = [uuid7(NOON) for _ in range(4)]
    books = Answers()
    going = True

    async def talk(room: str, numbers: range) -> None:
        """Several sends under way at any time, as of one connection; numbers rise, and none is repeated."""
        for start in numbers[::5]:
            if not going:
                return
            await asyncio.gather(
                books.append(log, *(event(number, room) for number in range(start, start + 5))), return_exceptions=True
            )

    talkers = [asyncio.ensure_future(talk(room, range(i * 10**6, (i + 1) * 10**6))) for i, room in enumerate(rooms)]
    try:
        for _ in range(2):
            await confirmations(books, 400)
            await asyncio.to_thread(kafka.kill)
            await asyncio.to_thread(kafka.start)
        await confirmations(books, 400)
    finally:
        going = False
        await asyncio.wait(talkers)
    stored: dict[int, Position] = {}
    for partition, end in (await log.end()).items():
        offset = 0
        while offset < end:
            for record in await log.read(partition, offset, 1_000):
                data = decode(record.value).event.data
                assert isinstance(data, MessageRead)
                assert data.up_to_seq not in stored, "twice in the log"
                stored[data.up_to_seq] = Position(partition, record.offset)
                offset = record.offset + 1
    acked = {number: position for number, position in books.given if position is not None}
    assert {number: stored.get(number) for number in acked} == acked
    for room in range(len(rooms)):
        own = sorted(number for number in acked if number // 10**6 == room)
        assert own == sorted(own, key=lambda number: acked[number]), "acknowledged sends keep their order"
    await log.close()


async def confirmations(books: Answers, more: int) -> None:
    """Let the load run on until so many more sends have been confirmed."""
    enough = books.confirmed + more
    while books.confirmed < enough:
        await books.answered()


async def eventually(log: KafkaLog, number: int) -> list[Position]:
    """Send until the log takes it, as clients do; gives what it answered last."""
    while True:
        try:
            return await append(log, event(number))
        except Unavailable:
            continue


# --- the sender ---


@pytest.fixture
async def sender(kafka: Kafka, log: KafkaLog) -> AsyncIterator[Sender]:
    sender = Sender(kafka.bootstrap, bound_ms=BOUND_MS, queue_records=100)
    yield sender
    await sender.close()


async def test_a_full_queue_is_told_long_before_the_bound(kafka: Kafka, sender: Sender, topic: str) -> None:
    await asyncio.to_thread(kafka.pause)
    refused: list[TidingsError | None] = []
    try:
        for _ in range(200):
            sender.send(topic, b"", b"x", lambda position, error: refused.append(error), partition=0)
        await asyncio.sleep(BOUND_MS / 1000 / 10)
        at_once = {type(error) for error in refused}
        assert (len(refused), at_once) == (100, {Unavailable}), "of the others the outcome is still unknown"
    finally:
        await asyncio.to_thread(kafka.resume)


async def test_a_callback_that_raises_does_not_hold_up_the_others(
    sender: Sender, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Position | None] = []

    def done(number: int, position: Position | None, error: TidingsError | None) -> None:
        answers.append(position)
        if number % 2:
            raise ZeroDivisionError

    warm: list[Position] = []
    while not warm:
        with suppress(Unavailable):  # a broker that has just begun, on a busy machine
            warm.append(await sender.confirmed(topic, b"", b"x", partition=0))
    for number in range(10):
        sender.send(topic, b"", b"x", partial(done, number), partition=0)
    await sender.confirmed(topic, b"", b"x", partition=0)
    first = warm[0].offset + 1
    assert [position.offset for position in answers if position] == list(range(first, first + 10))
    assert caplog.text.count("telling who sent a record failed for one") == 5


def fail_for_ever(producer: Producer) -> None:
    """Have librdkafka end a producer as it does when the broker has lost track of it, by its own call for tests."""
    [library] = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*")
    handle = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)
    fail = ctypes.CDLL(str(library)).rd_kafka_test_fatal_error
    assert fail(handle, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"the broker forgot us") == 0


async def test_after_a_fatal_error_another_producer_goes_on(
    kafka: Kafka, sender: Sender, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    await sender.confirmed(topic, b"", b"before", partition=0)
    before = sender._producer
    await asyncio.to_thread(kafka.pause)
    try:
        lost = [asyncio.ensure_future(sender.confirmed(topic, b"", b"x", partition=0)) for _ in range(3)]
        await asyncio.sleep(0.1)
        fail_for_ever(before)
        for each in lost:
            with pytest.raises(Unavailable):
                await each
    finally:
        await asyncio.to_thread(kafka.resume)
    position = await sender.confirmed(topic, b"", b"after", partition=0)
    assert position.offset >= 1
    assert sender._producer is not before
    assert not sender.waiting
    assert not sender._replaced
    assert caplog.text.count("the producer is replaced after a fatal error") == 1
    assert "the broker forgot us" in caplog.text


async def test_a_producer_that_ended_while_nobody_sent_is_replaced_before_the_next_send(
    sender: Sender, topic: str
) -> None:
    before = sender._producer
    fail_for_ever(before)
    answers: list[Position] = []
    while not answers:
        with suppress(Unavailable):  # handed over before the driver has said that it ended, or to a cold broker
            answers.append(await sender.confirmed(topic, b"", b"x", partition=0))
    assert sender._producer is not before


async def test_closing_does_not_wait_for_a_dead_broker_for_ever(kafka: Kafka, log: KafkaLog, topic: str) -> None:
    sender = Sender(kafka.bootstrap, bound_ms=BOUND_MS)
    await asyncio.to_thread(kafka.pause)
    answers: list[tuple[Position | None, TidingsError | None]] = []
    try:
        sender.send(topic, b"", b"x", lambda *answer: answers.append(answer), partition=0)
        await sender.close()
    finally:
        await asyncio.to_thread(kafka.resume)
    [(position, error)] = answers
    assert position is None
    assert isinstance(error, Unavailable)
