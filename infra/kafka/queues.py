"""Queues in Kafka: see `streams.push.queues`. Their partitions are held by `infra/kafka/holder.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from commands.errors import TidingsError, Unavailable
from events.log import Position
from infra.kafka.log import KafkaLog
from infra.kafka.sender import Sender
from infra.kafka.topics import Topic, Topics
from streams.push.queues import Item


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
