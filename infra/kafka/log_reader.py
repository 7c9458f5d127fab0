"""The log in Kafka as tools read it: consumers that assign and seek, so no group ever hears of them.

Nothing is made: a topic that is not there is no log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Lock
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from commands.errors import Unavailable
from events.log import CHAT_TOPIC, Record
from infra.kafka.client import ANSWER_S, offset_of, settings, translated
from infra.kafka.reader import PartitionReader
from streams.log_reader import NoLog

_AT_ONCE = 1_000
_MOMENT_S = 0.05
_NONE_SO_LATE = -1


class KafkaLogReader:
    """A log that others are writing. See `streams.log_reader.LogReader`."""

    def __init__(self, bootstrap: str, topic: str = CHAT_TOPIC) -> None:
        """Asks the cluster for the topic. Raises NoLog and Unavailable."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._admin = AdminClient(settings(bootstrap))
        self._readers: dict[int, tuple[PartitionReader, Lock]] = {}
        with translated():
            cluster = self._admin.describe_cluster(request_timeout=ANSWER_S).result()
            asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_S)[topic]
            try:
                found = asked.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise NoLog(f"there is no topic {topic} at {bootstrap}") from error
                raise
        self.partitions = len(found.partitions)
        self.incarnation = f"{cluster.cluster_id}:{found.topic_id}"

    def ends(self) -> dict[int, int]:
        return self._offsets(OffsetSpec.latest())

    def records(self, partition: int, offset: int, limit: int) -> list[Record]:
        reader, lock = self._reader(partition)
        with lock:
            return reader.read(offset, limit)

    def batches(self, partition: int, offset: int, end: int, key: str | None = None) -> Iterator[list[Record]]:
        while offset < end:
            records = self.records(partition, offset, min(_AT_ONCE, end - offset))
            if not records:
                raise Unavailable(f"the log has no record at {partition}:{offset}")
            offset = records[-1].offset + 1
            wanted = records if key is None else [record for record in records if record.key == key]
            if wanted:
                yield wanted

    def offsets_at(self, at_ms: int) -> dict[int, int]:
        # First, so that what is appended meanwhile does not count as older than it is.
        ends = self.ends()
        found = self._offsets(OffsetSpec.for_timestamp(at_ms))
        return {
            partition: ends[partition] if offset == _NONE_SO_LATE else offset for partition, offset in found.items()
        }

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        return await asyncio.to_thread(self.records, partition, offset, limit)

    def close(self) -> None:
        for reader, _ in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reader(self, partition: int) -> tuple[PartitionReader, Lock]:
        if partition not in self._readers:
            self._readers[partition] = PartitionReader(self._bootstrap, self._topic, partition), Lock()
        return self._readers[partition]

    def _offsets(self, spec: OffsetSpec) -> dict[int, int]:
        places = {TopicPartition(self._topic, partition): spec for partition in range(self.partitions)}
        until = time.monotonic() + ANSWER_S
        while True:
            asked: dict[TopicPartition, Future[Any]] = self._admin.list_offsets(places, request_timeout=ANSWER_S)
            try:
                with translated():
                    return {place.partition: offset_of(told.result()) for place, told in asked.items()}
            except Unavailable:
                if time.monotonic() > until:
                    raise
            # A partition has changed its leader, which the driver does not look into by itself.
            with translated():
                self._admin.list_topics(self._topic, timeout=ANSWER_S)
            time.sleep(_MOMENT_S)
