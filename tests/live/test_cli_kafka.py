"""Tools read the cluster's log where TIDINGS_KAFKA says so, and no data folder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from events.codec import make
from events.ids import uuid7
from events.log import Position
from events.types import ChatCreated, ChatRetitled
from infra.cluster.services import Kafka
from infra.kafka.discards import KafkaDiscards
from infra.kafka.log import KafkaLog
from tests.support.cli import run
from tests.support.history import ANA, NOON
from tests.support.needs import require


async def test_the_clusters_log_is_printed_folded_and_replayed(kafka: Kafka, tmp_path: Path) -> None:
    require("kafka")
    room = uuid7(NOON)
    log = await KafkaLog.open(kafka.bootstrap, 2)
    answers: list[object] = []
    for data in (ChatCreated("group", "Tea", False, "all", [ANA]), ChatRetitled("Tea at nine")):
        log.append(make(uuid7(NOON), room, ANA, NOON, data), lambda position, error: answers.append(error or position))
    await log.close()
    first, second = map(str, answers)
    settings = {"TIDINGS_KAFKA": kafka.bootstrap}
    printed = await asyncio.to_thread(run, tmp_path, "events", "cat", "--chat", room, settings=settings)
    assert printed.status == 0, printed.stderr
    assert [json.loads(line)["position"] for line in printed.stdout.splitlines()] == [first, second]
    for place, title in ((first, "Tea"), (second, "Tea at nine")):
        past = await asyncio.to_thread(run, tmp_path, "at", place, "chat", room, settings=settings)
        assert json.loads(past.stdout)["chat"]["title"] == title
    again = await asyncio.to_thread(
        run,
        tmp_path,
        "events",
        "replay",
        "--into",
        f"file://{tmp_path}/again",
        "--speed",
        "max",
        "--chat",
        room,
        settings=settings,
    )
    assert json.loads(again.stdout)["records"] == 2
    out = str(tmp_path / "out")
    exported = await asyncio.to_thread(
        run, tmp_path, "events", "export", "--out", out, "--workers", "1", settings=settings
    )
    assert exported.status == 0, exported.stderr
    made = json.loads(exported.stdout)
    assert made["events"] == sum(made["to"].values()) >= 2
    query = f"SELECT type, position FROM events WHERE chat_id = '{room}' ORDER BY position"
    asked = await asyncio.to_thread(run, tmp_path, "sql", query, "--export", out, "--output", "json", settings=settings)
    assert [json.loads(line)["position"] for line in asked.stdout.splitlines()] == sorted([first, second])
    counted = await asyncio.to_thread(run, tmp_path, "stats", "--format", "json", settings=settings)
    assert json.loads(counted.stdout)["types"] == made["types"]
    assert len((await asyncio.to_thread(run, tmp_path / "again", "events", "cat")).stdout.splitlines()) == 2


async def test_what_operators_discarded_is_read_without_making_anything(kafka: Kafka) -> None:
    require("kafka")
    topic = f"discards-{uuid7(NOON)}"
    reading = KafkaDiscards(kafka.bootstrap, topic)
    assert list(await reading.all()) == []
    noted = await KafkaDiscards.open(kafka.bootstrap, topic=topic, replication=1)
    assert list(await reading.all()) == []
    await noted.discard(Position(1, 42))
    assert list(await reading.all()) == [Position(1, 42)]
