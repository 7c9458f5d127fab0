"""Dead letters in a topic of their own: the original bytes, with position and reason as headers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import confluent_kafka

from events.log import CHAT_TOPIC, DEAD_LETTERS_TOPIC
from infra.kafka.sender import Headers, Sender
from projections.ports import Parked

_REASON_BYTES = 1_000


class KafkaDeadLetters:
    def __init__(
        self, sender: Sender, partitions: int, *, topic: str = DEAD_LETTERS_TOPIC, source: str = CHAT_TOPIC
    ) -> None:
        """`partitions`: of `topic`. `source`: the topic that the records come from."""
        self._sender = sender
        self._partitions = partitions
        self._topic = topic
        self._source = source.encode()

    async def put(self, parked: Sequence[Parked]) -> None:
        await asyncio.gather(*(self._put(one) for one in parked))

    async def _put(self, one: Parked) -> None:
        key = one.chat_id.encode()
        headers: Headers = [
            ("topic", self._source),
            ("position", f"{one.partition}:{one.offset}".encode()),
            ("error", one.error.encode(errors="replace")[:_REASON_BYTES]),
        ]
        partition = confluent_kafka.murmur2(key, self._partitions)
        await self._sender.confirmed(self._topic, key, one.value, headers, partition=partition)
