"""Reading one partition, from any offset, with a consumer of its own and no consumer group."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from commands.errors import Unavailable
from events.codec import trace_of
from events.log import Record
from infra.kafka.client import ANSWER_S, settings, translated
from projections.ports import LogMismatch

_DRAIN = 1_000
_AHEAD_KB = 8_192
_BYTES_AT_ONCE = 4 * 1024 * 1024
_LONG_POLL_MS = 100
_MOMENT_S = 0.05


class PartitionReader:
    """Blocks, so it lives on a thread of its own. What was fetched ahead is kept until it is read."""

    def __init__(self, bootstrap: str, topic: str, partition: int) -> None:
        """Opens connections in the background; never waits."""
        self._topic = topic
        self._partition = partition
        self._consumer = Consumer(
            settings(
                bootstrap,
                group_id="tidings-reader",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                auto_offset_reset="error",
                queued_max_messages_kbytes=_AHEAD_KB,
                check_crcs=True,
                # Also how long a jump to another offset waits for the answer to what was asked before.
                fetch_wait_max_ms=_LONG_POLL_MS,
            )
        )
        self._ahead: deque[Record] = deque()
        self._next = -1
        """The offset of the record that the consumer gives next; -1: it is nowhere yet."""
        self._end = 0
        """As far as is known, the offset after the last record."""

    def read(self, offset: int, limit: int) -> list[Record]:
        """Records from `offset` on, up to `limit`, fewer where they pass some megabytes; empty at the end.

        Raises Unavailable and LogMismatch.
        """
        if offset >= self._end:
            self._ask_end()
            if offset >= self._end:
                return []
        self._go_to(offset)
        until = time.monotonic() + ANSWER_S
        while not self._ahead:
            self._fetch(until - time.monotonic())
            if not self._ahead and time.monotonic() >= until:
                raise Unavailable(f"Kafka does not give {self._partition}:{offset}")
        records: list[Record] = []
        size = 0
        while self._ahead and len(records) < limit and size < _BYTES_AT_ONCE:
            records.append(self._ahead.popleft())
            size += len(records[-1].value)
        return records

    def wait(self, offset: int, patience_s: float) -> bool:
        """Whether a record stands at `offset` or later, now or within `patience_s`. Raises as `read` does."""
        if offset < self._end:
            return True
        if offset != self._next:
            self._ask_end()
            self._go_to(min(offset, self._end))
        self._fetch(patience_s)
        return offset < self._end

    def close(self) -> None:
        self._consumer.close()

    def _ask_end(self) -> None:
        place = TopicPartition(self._topic, self._partition)
        until = time.monotonic() + ANSWER_S
        while True:
            try:
                end = self._consumer.get_watermark_offsets(place, timeout=ANSWER_S, cached=False)[1]
            except KafkaException as error:
                # While a partition changes its leader, those who are asked send one on …
                if time.monotonic() > until:
                    raise Unavailable(f"Kafka answers: {error.args[0]}") from error
            else:
                # … or answer that there is no offset, which is below 0.
                if end >= 0:
                    self._end = end
                    return
                if time.monotonic() > until:
                    raise Unavailable(f"Kafka does not know where {self._partition} ends")
            time.sleep(_MOMENT_S)

    def _go_to(self, offset: int) -> None:
        while self._ahead and self._ahead[0].offset < offset:
            self._ahead.popleft()
        if (self._ahead[0].offset if self._ahead else self._next) != offset:
            self._ahead.clear()
            with translated():
                self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])
            self._next = offset

    def _fetch(self, patience_s: float) -> None:
        """Add what has come; wait only if nothing has."""
        with translated():
            first = self._consumer.poll(patience_s)
            if first is None:
                return
            # To ask for many at once would wait for that many.
            for message in (first, *self._consumer.consume(_DRAIN, timeout=0)):
                self._ahead.append(self._record(message))
        self._next = self._ahead[-1].offset + 1
        self._end = max(self._end, self._next)

    def _record(self, message: Message[Any, Any]) -> Record:
        error = message.error()
        if error is not None:
            self._ahead.clear()
            self._next = -1
            if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise LogMismatch(f"the log lacks records of partition {self._partition}: {error.str()}")
            raise Unavailable(f"Kafka answers: {error.str()}")
        headers: Any = message.headers()
        return Record(
            self._partition,
            message.offset() or 0,
            message.timestamp()[1],
            (message.key() or b"").decode(errors="replace"),
            message.value() or b"",
            trace_of(headers),
        )
