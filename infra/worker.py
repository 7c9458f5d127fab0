"""A worker of the cluster: folds what Kafka gives it into one generation of the views, and tells gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from events.log import DEAD_LETTERS_TOPIC
from infra.kafka.dead_letters import KafkaDeadLetters
from infra.kafka.log import KafkaLog
from infra.kafka.sender import Sender
from infra.kafka.topics import Topic, Topics
from projections.ports import FoldStore
from streams.faust_worker.worker import FaustWorker, Membership
from streams.partition import PartitionFold
from streams.ports import Fanout


async def work(
    membership: Membership,
    store_of: Callable[[KafkaLog], FoldStore],
    fanout: Fanout | None = None,
    *,
    partitions: int,
    dead_letters: str = DEAD_LETTERS_TOPIC,
) -> None:
    """Work until cancelled. `store_of` gives the views of the log; `partitions` counts for topics not made yet.

    Raises WorkerFailed, TopicUnsuitable, and Unavailable while there is no Kafka to begin with.
    """
    async with AsyncExitStack() as stack:
        log = await KafkaLog.open(membership.bootstrap, partitions, topic=membership.topic)
        stack.push_async_callback(log.close)
        sender = Sender(membership.bootstrap)
        stack.push_async_callback(sender.close)
        topic = Topic(dead_letters, log.partitions)
        known = (await Topics(membership.bootstrap).ensure([topic], sender))[dead_letters]
        letters = KafkaDeadLetters(sender, known.partitions, topic=dead_letters, source=membership.topic)
        store = store_of(log)

        def make_fold(partition: int) -> PartitionFold:
            return PartitionFold(partition, store, letters, fanout)

        await FaustWorker(membership, make_fold, log.end, fanout).run()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop, also in the threads that Faust starts."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main)
