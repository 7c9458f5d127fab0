"""Workers may die, pause, come and go: the views end up as a rebuild from the log's beginning would make them."""

from __future__ import annotations

import asyncio
import subprocess
from functools import partial
from random import Random

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from events.partitioner import partition_of
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.keyspace import Keyspace
from infra.cluster.services import Cassandra
from infra.kafka.client import answer
from infra.kafka.log import KafkaLog
from projections.ports import Changes
from tests.live.worker.conftest import PARTITIONS, Plant, Talk
from tests.support.logs import append_all
from tests.support.needs import require

pytestmark = [pytest.mark.needs("kafka", "cassandra"), pytest.mark.timeout(300)]


async def test_a_worker_folds_the_log_and_follows_it(plant: Plant) -> None:
    talk = Talk(1)
    await append_all(plant.log, talk.events(2_000))
    plant.worker().start()
    await plant.caught_up()
    await append_all(plant.log, talk.events(500))
    await plant.caught_up(30)
    assert plant.store.hash() == await plant.rebuilt_hash()
    assert await asyncio.to_thread(plant.workers[0].stop) == 0


async def test_workers_killed_at_random_lose_and_repeat_nothing(plant: Plant) -> None:
    random = Random(2)
    talk = Talk(2)
    for _ in range(2):
        plant.worker().start()
    for _ in range(4):
        await append_all(plant.log, talk.events(1_500))
        await plant.until(partial(some_folded, plant, random.randrange(100, 1_000)))
        victim = random.choice(plant.workers)
        await asyncio.to_thread(victim.kill)
        victim.start()
    await plant.caught_up()
    assert plant.store.hash() == await plant.rebuilt_hash()


async def some_folded(plant: Plant, at_least: int) -> bool:
    """Whether so many records have been folded since this plant's last look."""
    total = sum((await plant.store.positions()).values())
    if total < plant.folded + at_least and total < sum((await plant.log.end()).values()):
        return False
    plant.folded = total
    return True


async def test_a_worker_that_wakes_up_late_changes_nothing(plant: Plant) -> None:
    talk = Talk(3)
    zombie = plant.worker().start()
    await append_all(plant.log, talk.events(3_000))
    await plant.until(partial(some_folded, plant, 200))
    zombie.pause()
    try:
        await append_all(plant.log, talk.events(500))
        plant.worker().start()
        await plant.caught_up()
    finally:
        zombie.resume()
    await append_all(plant.log, talk.events(500))
    await plant.caught_up()
    assert plant.store.hash() == await plant.rebuilt_hash()


async def test_workers_wait_while_the_store_is_away(plant: Plant, cassandra: Cassandra) -> None:
    talk = Talk(4)
    plant.worker().start()
    await append_all(plant.log, talk.events(500))
    await plant.caught_up()
    await asyncio.to_thread(cassandra.kill)
    try:
        await append_all(plant.log, talk.events(1_000))
    finally:
        await asyncio.to_thread(cassandra.start)
    await plant.caught_up()
    assert plant.store.hash() == await plant.rebuilt_hash()
    assert "waits:" in plant.workers[0].printed()


async def test_poison_parks_its_chat_and_is_confirmed_into_dead_letters(plant: Plant) -> None:
    talk = Talk(5, chats=3)
    events = list(talk.events(60))
    sick = events[0][0]
    events.insert(30, (sick, b"\xff not ours"))
    await append_all(plant.log, iter(events))
    plant.worker().start()
    await plant.caught_up()
    assert plant.store.hash() == await plant.rebuilt_hash()
    parked = await plant.store.parked_chats()
    assert list(parked) == [sick]
    own = [value for key, value in events if key == sick]
    expected = own[own.index(b"\xff not ours") :]
    letters = await dead_letters(plant)
    assert [value for _, value in letters] == expected
    assert {key for key, _ in letters} == {sick}
    first, *later = await asyncio.to_thread(letter_headers, plant)
    partition = partition_of(sick, PARTITIONS)
    assert first["topic"] == plant.setting.topic
    assert first["position"] == f"{partition}:{parked[sick]}"
    assert first["error"].startswith("not an event")
    assert {headers["error"] for headers in later} == {"an earlier event is parked"}


async def dead_letters(plant: Plant) -> list[tuple[str, bytes]]:
    """(key, value) of all."""
    log = await KafkaLog.open(plant.setting.bootstrap, PARTITIONS, topic=plant.setting.dead_letters)
    found = []
    for partition, end in (await log.end()).items():
        found += [(record.key, record.value) for record in await log.read(partition, 0, end or 1)]
    await log.close()
    return found


def letter_headers(plant: Plant) -> list[dict[str, str]]:
    command = [require("kcat"), "-b", plant.setting.bootstrap, "-C", "-t", plant.setting.dead_letters]
    command += ["-o", "beginning", "-e", "-q", "-f", "%h\n"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [dict(part.split("=", 1) for part in line.split(",", 2)) for line in lines]


async def test_where_the_group_has_committed_means_nothing(plant: Plant) -> None:
    talk = Talk(6)
    await append_all(plant.log, talk.events(300))
    group = ConsumerGroupTopicPartitions(
        f"fold-{plant.setting.topic}",
        [TopicPartition(plant.setting.topic, partition, end) for partition, end in (await plant.log.end()).items()],
    )
    admin = AdminClient({"bootstrap.servers": plant.setting.bootstrap})
    await answer(admin.alter_consumer_group_offsets([group])[group.group_id])
    plant.worker().start()
    await plant.caught_up()
    assert plant.store.hash() == await plant.rebuilt_hash()


@pytest.mark.parametrize(
    ("incarnation", "next_offset", "message"),
    [("another", 1, "was folded from the log another"), (None, 10**9, "beyond the log's end")],
    ids=["another log", "beyond the end"],
)
async def test_views_that_are_not_this_logs_stop_the_worker(
    plant: Plant, keyspace: Keyspace, incarnation: str | None, next_offset: int, message: str
) -> None:
    async def no_ends() -> dict[int, int]:
        return {}

    strange = CassandraFoldStore(keyspace, incarnation or plant.log.incarnation, no_ends)
    await strange.apply(Changes(0, next_offset))
    worker = plant.worker().start()
    assert await asyncio.to_thread(worker.wait_ended) != 0
    assert message in worker.printed()
    assert "CRITICAL" in worker.printed()
