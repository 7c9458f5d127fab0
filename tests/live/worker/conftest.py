"""A log in Kafka, views in Cassandra, and workers between them in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from commands.errors import Unavailable
from events.codec import encode, make
from events.ids import uuid7
from events.types import (
    ChatCreated,
    ChatRetitled,
    Data,
    MemberAdded,
    MemberLeft,
    MessageDelivered,
    MessageRead,
    MessageSent,
)
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.keyspace import Keyspace
from infra.cluster.services import Cassandra, Kafka
from infra.kafka.log import KafkaLog
from infra.sqlite.views import SqliteViews
from streams.rebuild import catch_up
from tests.support.history import ANA, BEN, CLEO, DAN, NOON, Clock
from tests.support.services import fresh_topic
from tests.support.worker import Setting, Worker

PARTITIONS = 4
MakeWorker = Callable[[], Worker]


@dataclass
class Plant:
    """Everything around the workers."""

    log: KafkaLog
    store: CassandraFoldStore
    setting: Setting
    folder: Path
    folded: int = 0
    workers: list[Worker] = field(default_factory=list)

    def worker(self) -> Worker:
        """One that is not started yet."""
        self.workers.append(Worker(self.folder, self.setting, f"worker-{len(self.workers) + 1}"))
        return self.workers[-1]

    async def caught_up(self, patience_s: float = 120) -> None:
        """Wait until the views have all that is in the log now."""
        ends = {partition: end for partition, end in (await self.log.end()).items() if end}
        await self.until(lambda: self._has(ends), patience_s)

    async def until(self, condition: Callable[[], Awaitable[bool]], patience_s: float = 120) -> None:
        until = asyncio.get_running_loop().time() + patience_s
        while not await condition():
            if asyncio.get_running_loop().time() > until:
                printed = "\n".join(f"--- {worker.member}\n{worker.printed()[-8_000:]}" for worker in self.workers)
                raise TimeoutError(f"the views stand at {await self.store.positions()}\n{printed}")
            await asyncio.sleep(0.05)

    async def _has(self, ends: dict[int, int]) -> bool:
        try:
            positions = await self.store.positions()
        except Unavailable:
            return False
        return all(positions.get(partition, 0) >= end for partition, end in ends.items())

    async def rebuilt_hash(self, name: str = "rebuilt.db") -> str:
        """The hash of views folded anew from the whole log, in one go, by the embedded runner into SQLite."""
        views = SqliteViews(self.folder / name, self.log.incarnation, await self.log.end())
        try:
            await catch_up(self.log, views)
            return views.hash()
        finally:
            views.close()


@pytest.fixture
async def plant(kafka: Kafka, cassandra: Cassandra, keyspace: Keyspace, tmp_path: Path) -> AsyncIterator[Plant]:
    setting = Setting(
        kafka.bootstrap,
        fresh_topic(),
        fresh_topic(),
        PARTITIONS,
        cassandra.contact_points,
        cassandra.ports["cql"],
        keyspace.name,
    )
    log = await KafkaLog.open(kafka.bootstrap, PARTITIONS, topic=setting.topic)
    plant = Plant(log, CassandraFoldStore(keyspace, log.incarnation, log.end), setting, tmp_path)
    yield plant
    for worker in plant.workers:
        worker.kill()
    await log.close()


class Talk:
    """Events as many people in several chats would cause them, refusals, repeats and receipts among them."""

    def __init__(self, seed: int, chats: int = 24) -> None:
        self._random = Random(seed)
        self._clock = Clock(NOON)
        self._chats = [uuid7(NOON + timedelta(milliseconds=number)) for number in range(chats)]
        self._sent: list[tuple[str, str, MessageSent]] = []
        self._fresh = iter(self._chats)

    def events(self, count: int) -> Iterator[tuple[str, bytes]]:
        """(chat, event as bytes), so many more of them."""
        for _ in range(count):
            self._clock.move(0.01)
            chat_id = next(self._fresh, None)
            if chat_id is not None:
                yield self._encoded(chat_id, ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN, CLEO]))
            else:
                yield self._encoded(*self._some())

    def _some(self) -> tuple[str, str, Data]:
        random = self._random
        chat_id, actor = random.choice(self._chats), random.choice((ANA, BEN, CLEO, DAN))
        match random.randrange(20):
            case 0:
                return chat_id, actor, MessageRead(random.randrange(1, 50))
            case 1:
                return chat_id, actor, MessageDelivered(random.randrange(1, 50))
            case 2:
                return chat_id, ANA, MemberAdded(DAN)
            case 3:
                return chat_id, DAN, MemberLeft(DAN)
            case 4:
                return chat_id, actor, ChatRetitled(f"Tea {random.randrange(9)}")
            case 5 if self._sent:
                return random.choice(self._sent)
        message = MessageSent(uuid7(self._clock()), "TEXT", random.randbytes(40))
        self._sent.append((chat_id, actor, message))
        return self._sent[-1]

    def _encoded(self, chat_id: str, actor: str, data: Data) -> tuple[str, bytes]:
        at = self._clock()
        return chat_id, encode(make(uuid7(at), chat_id, actor, at, data))
