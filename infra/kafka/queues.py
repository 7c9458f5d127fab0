"""Queues in Kafka: see `streams.push.queues`. A consumer group says who holds a partition; what is done is committed.

There is no view that could keep these positions, so here, unlike for folds, the group's committed offsets count.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord

from commands.errors import TidingsError, Unavailable
from events.log import Position
from infra.kafka.log import KafkaLog
from infra.kafka.sender import Sender
from infra.kafka.topics import Topic, Topics
from streams.push.queues import Held, Item

logger = logging.getLogger(__name__)

TAKE_S = 0.5
"""How long one request for more may wait."""
HAND_OVER_S = 15.0
"""How long a partition that is taken away may finish what is under way: a provider may be slow to answer."""
_A_DAY_MS = 86_400_000

Work = Callable[[Held], Coroutine[Any, Any, None]]


class Lost(Exception):
    """The partition has gone to another holder."""


class KafkaQueue:
    """Made by `open`."""

    def __init__(self, log: KafkaLog, sender: Sender, topic: str) -> None:
        self.topic = topic
        self.partitions = log.partitions
        self._log = log
        self._sender = sender

    @staticmethod
    async def open(bootstrap: str, topic: Topic, *, replication: int | None = None) -> KafkaQueue:
        """Open or create. Raises Unavailable and TopicUnsuitable."""
        sender = Sender(bootstrap)
        try:
            topics = Topics(bootstrap, replication)
            known = (await topics.ensure([topic], sender))[topic.name]
            log = KafkaLog(bootstrap, topic.name, known.partitions, await topics.incarnation(known), sender)
            await log.end()
            return KafkaQueue(log, sender, topic.name)
        except BaseException:
            await sender.close()
            raise

    async def put(self, partition: int, items: Sequence[tuple[str, bytes]]) -> None:
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = len(items)

        def done(position: Position | None, error: TidingsError | None) -> None:
            nonlocal left
            left -= 1
            if stored.done():
                return
            if position is None:
                stored.set_exception(error or Unavailable())
            elif left == 0:
                stored.set_result(None)

        for key, value in items:
            self._sender.send(self.topic, key.encode(), value, done, partition=partition)
        await stored

    async def tail(self, partition: int, limit: int) -> Sequence[Item]:
        end = (await self._log.end())[partition]
        found: list[Item] = []
        offset = max(0, end - limit, await self._log.start(partition))
        while offset < end:
            records = await self._log.read(partition, offset, end - offset)
            found += [Item(record.offset, record.key, record.value) for record in records]
            offset = found[-1].offset + 1
        return found

    async def close(self) -> None:
        await self._log.close()


class KafkaHolder:
    def __init__(self, bootstrap: str, group: str, member: str, *, session_timeout_s: float = 10.0) -> None:
        """`member`: static; who comes back under it within the session's timeout gets the same partitions at once."""
        self._bootstrap = bootstrap
        self._group = group
        self._member = member
        self._session_ms = int(session_timeout_s * 1000)

    async def hold(self, works: Mapping[str, Work]) -> None:
        """Raises Unavailable while there is no Kafka to begin with."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=f"tidings-push-{self._member}",
            group_id=self._group,
            group_instance_id=self._member,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // 5,
            rebalance_timeout_ms=int(max(self._session_ms, HAND_OVER_S * 2_000)),
            # A provider that is away is no reason to take partitions from who waits for it.
            max_poll_interval_ms=_A_DAY_MS,
        )
        hands = _Hands(consumer, works)
        consumer.subscribe(list(works), listener=hands)
        try:
            with _translated():
                await consumer.start()
            await hands.failure
        finally:
            await hands.let_go(list(hands.tasks))
            await consumer.stop()


class _Hands(ConsumerRebalanceListener):  # type: ignore[misc]
    """The partitions that this process has, each with its task."""

    def __init__(self, consumer: AIOKafkaConsumer, works: Mapping[str, Work]) -> None:
        self.tasks: dict[TopicPartition, tuple[_Held, asyncio.Task[None]]] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._consumer = consumer
        self._works = works

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self.let_go(revoked)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self.let_go(list(self.tasks))
        logger.info("pushes of %s", ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(assigned)))
        for tp in assigned:
            held = _Held(self._consumer, tp)
            task = asyncio.create_task(self._run(self._works[tp.topic], held), name=f"{tp.topic} {tp.partition}")
            self.tasks[tp] = held, task

    async def let_go(self, partitions: Sequence[TopicPartition]) -> None:
        going = [self.tasks.pop(tp) for tp in partitions if tp in self.tasks]
        for held, _ in going:
            held.closing = True
        tasks = [task for _, task in going]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=HAND_OVER_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, work: Work, held: _Held) -> None:
        try:
            await work(held)
        except Lost as lost:
            logger.warning("%s", lost)
        except Exception as error:
            if not self.failure.done():
                self.failure.set_exception(error)


class _Held:
    def __init__(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        self.partition: int = tp.partition
        self.closing = False
        self._consumer = consumer
        self._tp = tp

    async def before(self, limit: int) -> Sequence[Item]:
        with _translated():
            at = await self._consumer.position(self._tp)
            first = (await self._consumer.beginning_offsets([self._tp]))[self._tp]
            if at <= first:
                return []
            self._consumer.seek(self._tp, max(first, at - limit))
            found: list[Item] = []
            while not self.closing and (not found or found[-1].offset < at - 1):
                found += await self._some(limit)
            self._consumer.seek(self._tp, at)
        return [item for item in found if item.offset < at]

    async def take(self, limit: int) -> Sequence[Item]:
        with _translated():
            while not self.closing:
                if found := await self._some(limit):
                    return found
        return []

    async def done(self, offset: int) -> None:
        with _translated():
            await self._consumer.commit({self._tp: offset})

    async def _some(self, limit: int) -> list[Item]:
        given = await self._consumer.getmany(self._tp, timeout_ms=int(TAKE_S * 1000), max_records=limit)
        return [_item(record) for record in given.get(self._tp, ())]


def _item(record: ConsumerRecord) -> Item:
    return Item(record.offset, (record.key or b"").decode(errors="replace"), record.value or b"")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (CommitFailedError, IllegalStateError) as error:
        raise Lost(f"the partition has gone to another holder: {error}") from error
    except KafkaError as error:
        raise Unavailable(f"Kafka answers: {error}") from error
