"""Records that operators discarded, in a topic of their own that is read whole."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from events.log import Position
from infra.kafka.client import ANSWER_S, settings, translated
from infra.kafka.reader import PartitionReader
from infra.kafka.sender import Sender
from infra.kafka.topics import Topic, Topics

TOPIC = "discards"
_AT_ONCE = 1_000


class KafkaDiscards:
    """Discards. Made by `open`, or only to read: where there is no topic yet, nothing is discarded."""

    def __init__(self, bootstrap: str, topic: str = TOPIC) -> None:
        self._bootstrap = bootstrap
        self._topic = topic

    @staticmethod
    async def open(bootstrap: str, *, topic: str = TOPIC, replication: int | None = None) -> KafkaDiscards:
        """Make the topic where there is none. Raises TopicUnsuitable, Unavailable."""
        sender = Sender(bootstrap)
        try:
            await Topics(bootstrap, replication).ensure([Topic(topic, 1)], sender)
        finally:
            await sender.close()
        return KafkaDiscards(bootstrap, topic)

    async def all(self) -> Collection[Position]:
        """Raises Unavailable."""
        return await asyncio.to_thread(self._read)

    async def discard(self, position: Position) -> None:
        """Note it for ever. Raises Unavailable."""
        sender = Sender(self._bootstrap)
        try:
            await sender.confirmed(self._topic, b"", str(position).encode(), partition=0)
        finally:
            await sender.close()

    def _is_there(self) -> bool:
        admin = AdminClient(settings(self._bootstrap))
        with translated():
            asked = admin.describe_topics(TopicCollection([self._topic]), request_timeout=ANSWER_S)[self._topic]
            try:
                asked.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return False
                raise
        return True

    def _read(self) -> list[Position]:
        if not self._is_there():
            return []
        reader = PartitionReader(self._bootstrap, self._topic, 0)
        try:
            found: list[Position] = []
            offset = 0
            while records := reader.read(offset, _AT_ONCE):
                found += [Position.parse(record.value.decode()) for record in records]
                offset = records[-1].offset + 1
            return found
        finally:
            reader.close()
