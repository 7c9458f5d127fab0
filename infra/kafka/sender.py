"""Sending records to Kafka from an event loop, without a future, task or thread of ours for each.

librdkafka's own thread does the work; its answers are fetched by short polls while anything is under way.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from commands.errors import TidingsError, Unavailable
from commands.isolation import left_out
from commands.ports import Appended
from events.log import Position
from infra.kafka.client import settings
from streams.measures import LogMeasures

logger = logging.getLogger(__name__)

POLL_S = 0.001
BUSY_POLL_S = 0.004
"""Where much is under way, which then waits longer for other things."""
BUSY_RECORDS = 16
IDLE_POLL_S = 1.0
"""Log lines and errors of the driver are waiting to be fetched even if nothing is sent."""
GATHER_S = 0.02
"""How long records gather at most before they go out together: a request to Kafka costs some 100 µs on either side,
whatever it holds, and each partition has requests of its own …"""
GATHER_RECORD_S = 0.004
"""… and how long for each record that went out the last time: who comes alone, or after a while, waits for nobody."""
LINGER_MS = 1
"""So that what is handed over together also travels together."""
BOUND_MS = 5_000
"""How long a record may be on its way before its outcome counts as unknown."""
QUEUE_RECORDS = 50_000
QUEUE_KB = 65_536

Headers = list[tuple[str, bytes]]
_Gathered = tuple[str, bytes, bytes, int, Appended, Headers | None]
"""Topic, value, key, partition, who waits, headers."""


class Sender:
    """An idempotent producer: what it confirms is on all replicas in sync, once, in the order of the calls.

    Lives on one event loop.
    """

    def __init__(self, bootstrap: str, *, bound_ms: int = BOUND_MS, queue_records: int = QUEUE_RECORDS) -> None:
        """Opens connections in the background; never waits."""
        self._loop = asyncio.get_running_loop()
        self._settings = settings(
            bootstrap,
            enable_idempotence=True,
            acks="all",
            partitioner="murmur2_random",
            compression_type="lz4",
            linger_ms=LINGER_MS,
            delivery_timeout_ms=bound_ms,
            queue_buffering_max_messages=queue_records,
            queue_buffering_max_kbytes=QUEUE_KB,
        )
        self._settings["error_cb"] = self._on_error
        self._bound_s = bound_ms / 1000
        self.measures = LogMeasures()
        self._in_flight = 0
        self._gathered: list[_Gathered] = []
        self._gather_until = 0.0
        self._closing: asyncio.Future[None] | None = None
        self._producer = Producer(self._settings)
        self._replaced: list[Producer] = []
        """Producers that have ended, until what they were given has its answer."""
        self._renewing = False
        self._away = False
        self._timer = self._loop.call_later(IDLE_POLL_S, self._poll)

    def send(
        self, topic: str, key: bytes, value: bytes, done: Appended, headers: Headers | None = None, *, partition: int
    ) -> None:
        """Queue a record. `done` is called once, on the loop: with its position, or with Unavailable."""
        if self._closing is not None:
            self.measures.failures += 1
            done(None, Unavailable("the log is closing"))
            return
        self._in_flight += 1
        if not self._gathered:
            self._loop.call_at(self._gather_until, self._hand_over)
        self._gathered.append((topic, value, key, partition, done, headers))
        if self._in_flight == 1:
            self._timer.cancel()
            self._timer = self._loop.call_later(POLL_S, self._poll)

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._gather_until = self._loop.time() + min(GATHER_S, len(gathered) * GATHER_RECORD_S)
        produce, delivered = self._producer.produce, self._delivered
        for topic, value, key, partition, done, headers in gathered:
            try:
                produce(topic, value, key, partition, on_delivery=partial(delivered, done), headers=headers)  # type: ignore[arg-type]
            except BufferError:
                self._refused(done, "too much is waiting for Kafka")
            except KafkaException as error:
                self._on_error(error.args[0])
                self._refused(done, f"Kafka answers: {error.args[0]}")

    def _refused(self, done: Appended, why: str) -> None:
        self._in_flight -= 1
        self.measures.failures += 1
        # By itself: what it may raise must not keep the others from Kafka.
        self._loop.call_soon(done, None, Unavailable(why))

    @property
    def waiting(self) -> int:
        """Records on their way."""
        return self._in_flight

    async def confirmed(
        self, topic: str, key: bytes, value: bytes, headers: Headers | None = None, *, partition: int
    ) -> Position:
        """Send a record and wait until Kafka has it. Raises Unavailable."""
        answer: asyncio.Future[Position] = self._loop.create_future()

        def done(position: Position | None, error: TidingsError | None) -> None:
            if answer.done():
                return
            if position is None:
                answer.set_exception(error or Unavailable())
            else:
                answer.set_result(position)

        self.send(topic, key, value, done, headers, partition=partition)
        return await answer

    async def close(self) -> None:
        """Wait until all that is under way has its answer; refuse the rest. Takes at most the bound."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if self._in_flight == 0:
                self._closing.set_result(None)
        await asyncio.wait([self._closing], timeout=self._bound_s + 1)
        self._timer.cancel()
        for producer in (self._producer, *self._replaced):
            producer.purge()
            self._serve(producer)

    def _poll(self) -> None:
        try:
            self._serve(self._producer)
            self._replaced = [old for old in self._replaced if self._serve(old)]
        finally:
            # Whatever the driver raises must not end the fetching of answers.
            self._timer = self._loop.call_later(self._pause_s(), self._poll)
            if self._in_flight == 0 and self._closing is not None and not self._closing.done():
                self._closing.set_result(None)

    def _serve(self, producer: Producer) -> bool:
        """Fetch a producer's answers; whether it still owes some. The driver raises a fatal error from here, instead of
        telling `error_cb` of it."""
        try:
            producer.poll(0)
        except KafkaException as error:
            if producer is self._producer:
                self._on_error(error.args[0])
        return len(producer) > 0

    def _pause_s(self) -> float:
        if self._in_flight == 0:
            return IDLE_POLL_S
        return POLL_S if self._in_flight < BUSY_RECORDS else BUSY_POLL_S

    def _delivered(self, done: Appended, error: KafkaError | None, message: Message[Any, Any]) -> None:
        self._in_flight -= 1
        if error is None:
            if self._away:
                self._away = False
                logger.info("Kafka is back")
            told: tuple[Position | None, Unavailable | None] = (
                Position(message.partition(), message.offset()),  # type: ignore[arg-type]
                None,
            )
        else:
            self.measures.failures += 1
            told = None, Unavailable(f"Kafka did not confirm: {error.str()}")
        try:
            done(*told)
        except Exception:
            left_out("telling who sent a record")

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._away:
            self._away = True
            logger.warning("Kafka is away: %s", error.str())
        # Only the first of them says that it is fatal; a producer that has ended answers with this code ever after.
        if (error.fatal() or error.code() == KafkaError._FATAL) and not self._renewing:
            self._renewing = True
            self._loop.call_soon(self._renew, error)

    def _renew(self, error: KafkaError) -> None:
        """After a fatal error a producer takes nothing any more. What was under way has an unknown outcome."""
        logger.error("the producer is replaced after a fatal error: %s", error.str())
        old, self._producer = self._producer, Producer(self._settings)
        self._renewing = False
        old.purge(blocking=False)
        self._replaced.append(old)
        self._timer.cancel()
        self._poll()
