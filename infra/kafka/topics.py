"""The topics: made once with all that must never be left to defaults, and looked at before each use.

A chat's partition follows from the number of partitions, so that number is fixed for a topic's life. It is written
down, for the topic of this very id, in a topic of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from commands.errors import Unavailable
from events.log import CHAT_TOPIC, DEAD_LETTERS_TOPIC, NOTIFICATIONS_TOPIC, RETRIES_TOPIC
from infra.kafka.client import ANSWER_S, answer, settings, translated
from infra.kafka.sender import Sender
from streams.push.backoff import DELAYS_S

REGISTER_TOPIC = "topic-register"
FOR_EVER = "-1"
A_WEEK = str(7 * 86_400_000)
_MOMENT_S = 0.2
_TRIES = 25

T = TypeVar("T")


class TopicUnsuitable(Exception):
    """A topic is not what it was made as, or would lose records. Nobody changes it unasked; the message says what."""


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is to be. `settings` are checked at every start, not only given at its making."""

    name: str
    partitions: int
    settings: Mapping[str, str] = field(
        default_factory=lambda: {
            "cleanup.policy": "delete",
            "retention.ms": FOR_EVER,
            "retention.bytes": FOR_EVER,
            "unclean.leader.election.enable": "false",
            "message.timestamp.type": "LogAppendTime",
        }
    )


class Known(msgspec.Struct, frozen=True):
    """A topic as the register has it."""

    topic_id: str
    partitions: int


def notification_topics(partitions: int) -> list[Topic]:
    """What waits to be pushed: nobody wants it after a week. A retry's partition is how long it waits."""
    kept = {
        "cleanup.policy": "delete",
        "retention.ms": A_WEEK,
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime",
    }
    return [Topic(NOTIFICATIONS_TOPIC, partitions, kept), Topic(RETRIES_TOPIC, len(DELAYS_S), kept)]


def product_topics(partitions: int) -> list[Topic]:
    """All topics of the product. Those keyed by chat are alike partitioned: a chat has one number everywhere."""
    kept_for_ever = [Topic(name, partitions) for name in (CHAT_TOPIC, DEAD_LETTERS_TOPIC)]
    return [*kept_for_ever, *notification_topics(partitions)]


_REGISTER = Topic(REGISTER_TOPIC, 1, {"cleanup.policy": "compact", "unclean.leader.election.enable": "false"})


class Topics:
    """Makes and checks topics."""

    def __init__(self, bootstrap: str, replication: int | None = None) -> None:
        """`replication`: copies of each record; None: three, or as many as there are brokers. Opens no connection."""
        self._bootstrap = bootstrap
        self._replication = replication
        self._admin = AdminClient(settings(bootstrap))

    async def ensure(self, topics: Sequence[Topic], sender: Sender) -> dict[str, Known]:
        """Make those that are not there, check all, and give name → what is known of it.

        The partition count of a topic that exists wins over the one asked for. Entries in the register go through
        `sender`, which so shows that it can write. Raises TopicUnsuitable and Unavailable.
        """
        await self._make([_REGISTER, *topics])
        found = await self._describe([topic.name for topic in topics])
        # Whichever broker is asked may not have heard of a new topic yet.
        await _again(lambda: self._check_settings(topics))
        register = await self._register()
        for name, now in found.items():
            before = register.get((name, now.topic_id), now)
            if before != now:
                raise TopicUnsuitable(
                    f"the topic {name} has {now.partitions} partitions but was made with {before.partitions}: chats "
                    "would move between partitions; move the records to a new topic instead"
                )
            await self._write_down(name, now, sender)
        return found

    async def incarnation(self, known: Known) -> str:
        """Names a topic for ever, whatever is made under its name after it. Raises Unavailable."""
        cluster = await answer(self._admin.describe_cluster(request_timeout=ANSWER_S))
        return f"{cluster.cluster_id}:{known.topic_id}"

    async def _make(self, topics: Sequence[Topic]) -> None:
        cluster = await answer(self._admin.describe_cluster(request_timeout=ANSWER_S))
        replication = self._replication or min(3, len(cluster.nodes))
        guarded = {"min.insync.replicas": str(max(1, replication - 1))}
        there = await asyncio.to_thread(self._names)
        fresh = [
            NewTopic(topic.name, topic.partitions, replication, config={**topic.settings, **guarded})
            for topic in topics
            if topic.name not in there
        ]
        if not fresh:
            return
        for made in self._admin.create_topics(fresh, operation_timeout=ANSWER_S).values():
            try:
                await asyncio.wrap_future(made)
            except KafkaException as error:
                # Another process made it a moment ago.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise Unavailable(f"Kafka answers: {error.args[0]}") from error

    def _names(self) -> set[str]:
        with translated():
            return set(self._admin.list_topics(timeout=ANSWER_S).topics)

    async def _describe(self, names: Sequence[str]) -> dict[str, Known]:
        for _ in range(_TRIES):
            asked = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=ANSWER_S)
            try:
                told = {name: await asyncio.wrap_future(future) for name, future in asked.items()}
            except KafkaException as error:
                # Not every broker has heard of a new topic yet.
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise Unavailable(f"Kafka answers: {error.args[0]}") from error
            else:
                if all(topic.partitions and all(part.leader for part in topic.partitions) for topic in told.values()):
                    return {name: Known(str(topic.topic_id), len(topic.partitions)) for name, topic in told.items()}
            await asyncio.sleep(_MOMENT_S)
        raise Unavailable(f"no leader for every partition of {', '.join(names)}")

    async def _check_settings(self, topics: Sequence[Topic]) -> None:
        resources = {ConfigResource(ResourceType.TOPIC, topic.name): topic for topic in topics}
        for resource, future in self._admin.describe_configs(list(resources), request_timeout=ANSWER_S).items():
            topic, found = resources[resource], await answer(future)
            for name, wanted in topic.settings.items():
                if found[name].value != wanted:
                    raise TopicUnsuitable(f"the topic {topic.name} has {name}={found[name].value}, not {wanted}")

    async def _write_down(self, name: str, now: Known, sender: Sender) -> None:
        key, value = f"{name}:{now.topic_id}".encode(), msgspec.json.encode(now)
        # A cluster's first producer of this kind waits some seconds for what gives them their ids.
        await _again(lambda: sender.confirmed(REGISTER_TOPIC, key, value, partition=0))

    async def _register(self) -> dict[tuple[str, str], Known]:
        # One that was made a moment ago may not know its leader yet, and the leader not know that it is.
        return await _again(lambda: asyncio.to_thread(self._read_register))

    def _read_register(self) -> dict[tuple[str, str], Known]:
        """(topic, topic id) → what was written down first. Raises Unavailable."""
        known: dict[tuple[str, str], Known] = {}
        consumer = Consumer(settings(self._bootstrap, group_id="tidings-register", enable_auto_commit=False))
        try:
            with translated():
                place = TopicPartition(REGISTER_TOPIC, 0, 0)
                end = consumer.get_watermark_offsets(place, timeout=ANSWER_S)[1]
                consumer.assign([place])
                # Compaction leaves holes, so the position tells the end, not a record. It is negative at first.
                while max(0, consumer.position([place])[0].offset) < end:
                    message = consumer.poll(ANSWER_S)
                    if message is None:
                        raise Unavailable("the register of topics is not given")
                    if (error := message.error()) is not None:
                        raise Unavailable(f"the register of topics cannot be read: {error.str()}")
                    name, _, topic_id = (message.key() or b"").decode().rpartition(":")
                    known.setdefault((name, topic_id), msgspec.json.decode(message.value() or b"", type=Known))
        finally:
            consumer.close()
        return known


async def _again(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives, asked for some seconds more where it raises Unavailable."""
    for _ in range(_TRIES):
        try:
            return await call()
        except Unavailable as error:
            last = error
        await asyncio.sleep(_MOMENT_S)
    raise last
