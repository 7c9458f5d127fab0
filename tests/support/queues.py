"""Queues of pushes in tests, in SQLite and in Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from infra.kafka.holder import KafkaHolder
from infra.kafka.queues import KafkaQueue
from infra.kafka.topics import Topic
from infra.sqlite.push_file import PushFile
from infra.sqlite.queues import SqliteHolder, SqliteQueue
from streams.push.queues import Held, Holder, Queue

PARTITIONS = 2


class Queues(Protocol):
    """What tests use of one topic."""

    topic: str

    async def queue(self) -> Queue: ...

    def holder(self) -> Holder: ...


class SqliteQueues:
    def __init__(self, path: Path) -> None:
        self.topic = "things"
        self.file = PushFile(path)
        self._queue = SqliteQueue(self.file, self.topic, PARTITIONS)

    async def queue(self) -> Queue:
        return self._queue

    def holder(self) -> Holder:
        return SqliteHolder([self._queue])


class KafkaQueues:
    def __init__(self, bootstrap: str) -> None:
        self.topic = f"test-{uuid4()}"
        self._group = f"test-{uuid4()}"
        self._bootstrap = bootstrap
        self.opened: list[KafkaQueue] = []

    async def queue(self) -> Queue:
        if not self.opened:
            self.opened.append(await KafkaQueue.open(self._bootstrap, Topic(self.topic, PARTITIONS)))
        return self.opened[0]

    def holder(self) -> Holder:
        return KafkaHolder(self._bootstrap, self._group, "one", session_timeout_s=6.0)


@asynccontextmanager
async def holding(
    queues: Queues, work: Callable[[Held], Coroutine[Any, Any, None]]
) -> AsyncIterator[asyncio.Task[None]]:
    """Hold all partitions while the block runs."""
    task = asyncio.create_task(queues.holder().hold({queues.topic: work}))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
