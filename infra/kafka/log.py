"""The event log in Kafka: one topic, keyed by chat, kept for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from commands.errors import Unavailable
from commands.ports import Appended
from events.codec import TRACE_HEADER, Event, encode, headers
from events.log import CHAT_TOPIC, Record
from infra.kafka.client import ANSWER_S, answer, offset_of, settings, translated
from infra.kafka.reader import PartitionReader
from infra.kafka.sender import BOUND_MS, Headers, Sender
from infra.kafka.topics import Topic, Topics
from streams.measures import LogMeasures

_WAIT_S = 0.5
"""How long a thread may go on waiting after nobody waits for it any more."""
_MOMENT_S = 0.05

T = TypeVar("T")


class KafkaLog:
    """The log as gateways, rebuilds and tools use it. Lives on one event loop. Made by `open`."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, incarnation: str, sender: Sender) -> None:
        self.partitions = partitions
        self.incarnation = incarnation
        self._bootstrap = bootstrap
        self._topic = topic
        self._sender = sender
        self._admin = AdminClient(settings(bootstrap))
        self._readers: dict[int, PartitionReader] = {}
        self.last_ends: dict[int, int] = {}
        """What `end` said last."""
        self._threads: dict[int, ThreadPoolExecutor] = {}
        """One for each partition that is read: its reader's."""

    @staticmethod
    async def open(
        bootstrap: str,
        partitions: int,
        *,
        topic: str = CHAT_TOPIC,
        replication: int | None = None,
        bound_ms: int = BOUND_MS,
    ) -> KafkaLog:
        """Open or create. The partition count of an existing log wins over `partitions`.

        Raises Unavailable, and TopicUnsuitable for a topic that was changed or would lose records.
        """
        sender = Sender(bootstrap, bound_ms=bound_ms)
        try:
            topics = Topics(bootstrap, replication)
            known = (await topics.ensure([Topic(topic, partitions)], sender))[topic]
            log = KafkaLog(bootstrap, topic, known.partitions, await topics.incarnation(known), sender)
            # A topic that was made a moment ago may not have all its leaders yet.
            await log.end()
            return log
        except BaseException:
            await sender.close()
            raise

    def append(self, event: Event, done: Appended) -> None:
        """Queue an event; `done` is called once all replicas in sync have it."""
        self.append_raw(event.chat_id, encode(event), done, headers(event))

    def append_traced(self, event: Event, done: Appended, trace: str) -> None:
        """As `append`, with a context that comes back with the record."""
        self.append_raw(event.chat_id, encode(event), done, [*headers(event), (TRACE_HEADER, trace.encode())])

    def append_raw(self, key: str, value: bytes, done: Appended, headers: Headers | None = None) -> None:
        """Queue bytes as they are: what tools that copy logs, and tests of bad records, need."""
        encoded = key.encode()
        # The same as the driver's own choice, but by the count that was checked, whatever it hears of later.
        partition = confluent_kafka.murmur2(encoded, self.partitions)
        self._sender.send(self._topic, encoded, value, done, headers, partition=partition)

    @property
    def measures(self) -> LogMeasures:
        return self._sender.measures

    @property
    def waiting(self) -> int:
        """Appends on their way."""
        return self._sender.waiting

    async def end(self) -> dict[int, int]:
        """Raises Unavailable."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_S
        latest = {TopicPartition(self._topic, partition): OffsetSpec.latest() for partition in range(self.partitions)}
        while True:
            asked = self._admin.list_offsets(latest, request_timeout=ANSWER_S)
            try:
                self.last_ends = {place.partition: offset_of(await answer(told)) for place, told in asked.items()}
                return dict(self.last_ends)
            except Unavailable:
                if loop.time() > until:
                    raise
                # A partition has changed its leader, which the driver does not look into by itself.
                await asyncio.to_thread(self._look_for_leaders)
                await asyncio.sleep(_MOMENT_S)

    async def start(self, partition: int) -> int:
        """The offset of the oldest record that is kept. Raises Unavailable."""
        place = TopicPartition(self._topic, partition)
        asked = self._admin.list_offsets({place: OffsetSpec.earliest()}, request_timeout=ANSWER_S)
        return offset_of(await answer(asked[place]))

    def _look_for_leaders(self) -> None:
        with translated():
            self._admin.list_topics(self._topic, timeout=ANSWER_S)

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """Raises Unavailable, and LogMismatch if the log does not reach back to `offset`."""
        return await self._on_thread(partition, lambda reader: reader.read(offset, limit))

    async def wait(self, partition: int, offset: int) -> None:
        """Raises as `read` does."""
        while not await self._on_thread(partition, lambda reader: reader.wait(offset, _WAIT_S)):
            pass

    async def ping(self) -> None:
        """Return if the log answers. Raises Unavailable."""
        await self.end()

    async def close(self) -> None:
        """Wait for the answers to what was sent, and close. Later appends get Unavailable."""
        await self._sender.close()
        for partition, reader in self._readers.items():
            # Behind what may still be running there for somebody who was cancelled.
            await asyncio.get_running_loop().run_in_executor(self._threads[partition], reader.close)
            self._threads[partition].shutdown()
        self._readers.clear()

    async def _on_thread(self, partition: int, ask: Callable[[PartitionReader], T]) -> T:
        if partition not in self._readers:
            self._readers[partition] = PartitionReader(self._bootstrap, self._topic, partition)
            self._threads[partition] = ThreadPoolExecutor(1, thread_name_prefix=f"{self._topic}-{partition}")
        reader = self._readers[partition]
        return await asyncio.get_running_loop().run_in_executor(self._threads[partition], ask, reader)
