"""kill -9 of whoever pushes, at any moment: no notification is lost, and what is repeated was under way."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from infra.cluster.services import Kafka
from infra.kafka.queues import KafkaQueue
from streams.push.stream import BATCH, BATCHES
from tests.support.providers.apple import apple
from tests.support.providers.keys import make_keys
from tests.support.push_process import Plan, Pusher, prepare, put

PARTITIONS = 2
PEOPLE = 20
KILLS = int(os.environ.get("TIDINGS_TEST_PUSH_KILLS", "3"))
MESSAGES = 400 * (KILLS + 1)
DEVICES = 2


@pytest.mark.needs("kafka")
async def test_killing_the_pusher_loses_nothing_and_repeats_what_was_under_way(kafka: Kafka, tmp_path: Path) -> None:
    notes = await prepare(tmp_path, PEOPLE, MESSAGES)
    keys = make_keys(tmp_path)
    async with apple(keys) as theirs:
        theirs.ledger.keep = False
        name = f"test-{uuid4()}"
        plan = Plan(
            str(tmp_path), kafka.bootstrap, name, f"{name}-retries", PARTITIONS, name, str(tmp_path), theirs.url
        )
        queue = await KafkaQueue.open(kafka.bootstrap, plan.topics[0])
        pusher = Pusher(plan, tmp_path / "pusher.output")
        random = Random(7)
        received = theirs.ledger.counts
        try:
            pusher.start()
            share = len(notes) // (KILLS + 1)
            for kill in range(KILLS + 1):
                await put(queue, PARTITIONS, notes[kill * share : None if kill == KILLS else (kill + 1) * share])
                if kill < KILLS:
                    # Somewhere in the middle of this share, often in the middle of a batch.
                    enough = (kill * share + random.randrange(BATCH, share)) * DEVICES
                    await theirs.ledger.until(lambda: len(received) >= enough, patience_s=60)  # noqa: B023
                    pusher.kill()
                    pusher.start()
            await theirs.ledger.until(lambda: len(received) == MESSAGES * DEVICES, patience_s=60)
        except TimeoutError:
            pytest.fail(f"{len(received)} arrived, {theirs.ledger.refused}\n{pusher.printed()[-6_000:]}")
        finally:
            pusher.kill()
            await queue.close()
        expected = {(note.chat_id, note.seq) for note in notes}
        assert {(chat_id, seq) for _, chat_id, seq in received} == expected
        repeated = sum(received.values()) - len(received)
        print(f"{KILLS} kills, {len(received)} pushes, {repeated} of them more than once")
        assert repeated <= KILLS * PARTITIONS * BATCH * BATCHES * DEVICES
        assert max(received.values()) <= 1 + KILLS
