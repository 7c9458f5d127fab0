"""A worker of the cluster: folds what Kafka gives it into one generation of the views, and tells gateways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import uvloop
from prometheus_client.registry import Collector

from api.operations import Process
from api.services import Health
from events.log import DEAD_LETTERS_TOPIC
from infra.cassandra.connection import Connection as CassandraConnection
from infra.cassandra.first import served_or_first
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.generations import Generations
from infra.cassandra.group import POSITION_DELAY_S
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.served import RegisteredViews
from infra.clustered import contact, open_log
from infra.kafka.dead_letters import KafkaDeadLetters
from infra.kafka.discards import KafkaDiscards
from infra.kafka.log import KafkaLog
from infra.kafka.sender import Sender
from infra.kafka.topics import Topic, Topics
from infra.metrics.collectors import FoldMetrics, PushMetrics, ServedGeneration, SpokenMetrics, WorkerLag
from infra.operations.telling import tell_of_oneself
from infra.parts import Work
from infra.patience import patiently
from infra.push.any_device import LookedFor
from infra.push.clustered import open_pushes, open_queues
from infra.redis import members, newest, presence
from infra.redis.address import parse
from infra.redis.bus import Bus
from infra.redis.connection import Connection as RedisConnection
from infra.redis.fanout import RedisFanout
from infra.redis.members import MemberSetKeeper
from infra.redis.newest import NewestMessages
from infra.redis.roster import RedisRoster
from infra.settings import Settings
from infra.tracing.setup import tracing
from infra.wanted import for_push, for_worker
from projections.ports import FoldStore
from streams.faust_worker.generations import WorkerGenerations
from streams.faust_worker.worker import FaustWorker, Membership
from streams.measures import FoldMeasures
from streams.partition import PartitionFold
from streams.ports import Fanout
from streams.push.notifier import Notifier

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Working:
    """The running parts of a worker. The worker itself is to be run: see `FaustWorker.run`."""

    worker: FaustWorker
    health: Health
    collectors: Sequence[Collector]
    """What it tells at /metrics."""
    work: Mapping[str, Work] = field(default_factory=dict)
    """What runs beside the worker, under which name."""


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Working]:
    """Be ready to work on the served generation until the block ends.

    Waits for Kafka and Cassandra. Raises BadSettings, TopicUnsuitable, Unavailable.
    """
    wanted = for_worker(settings)
    async with AsyncExitStack() as stack:
        log = await patiently("Kafka", lambda: open_log(settings))
        stack.push_async_callback(log.close)
        cassandra = CassandraConnection(contact(settings))
        stack.callback(cassandra.close)
        generations = Generations(cassandra, settings.cassandra_keyspace)
        generation = await patiently("Cassandra", lambda: served_or_first(cassandra, generations, settings.replication))

        @cache
        def store_of(number: int) -> CassandraFoldStore:
            keyspace = Keyspace(cassandra, generations.keyspace(number))
            store = CassandraFoldStore(
                keyspace,
                log.incarnation,
                log.end,
                position_delay_s=POSITION_DELAY_S,
                dropped=lambda partitions: folded.begin_again(number, partitions),
            )
            stack.push_async_callback(store.settle)
            return store

        fanout, redis = await _tell_gateways(settings, wanted.redis, log.partitions, stack)
        membership = Membership(",".join(settings.kafka), f"{settings.cassandra_keyspace}-fold", wanted.member)
        measures = FoldMeasures()
        traced = tracing(settings)
        stack.push_async_callback(traced.close)
        traced.follow(measures)
        letters = await dead_letters_of(membership, log, stack, replication=settings.replication)
        discards = await KafkaDiscards.open(membership.bootstrap, replication=settings.replication)
        notifier: Notifier | None = None
        work: dict[str, Work] = {}
        pushes: list[Collector] = []
        if (for_pushes := for_push(settings)) is not None:
            any_device = LookedFor()
            notifier, queues = await open_queues(settings, log, wanted.member, any_device, utc_now, stack)
            served = RegisteredViews(cassandra, generations, f"{wanted.member}-push")
            role, sealer, devices = await open_pushes(settings, for_pushes, queues, served, redis, utc_now, stack)
            work = {"pushes": role.run, "sealing keys": sealer.run, "served generation": served.run}
            work["devices"] = partial(any_device.run, devices)
            pushes = [PushMetrics(role.stream.counts)]
        folded = WorkerGenerations(
            generation, log, generations, store_of, letters, fanout, measures, notifier, discards
        )
        worker = FaustWorker(membership, folded.make_fold, log.end, fanout)
        following = asyncio.create_task(folded.run(worker), name="generations")
        stack.push_async_callback(_ended, following)
        health = Health({"log": log.ping, "views": lambda: store_of(folded.home).ping(), "redis": redis.ping})
        home = ServedGeneration(lambda: folded.home)
        told = (FoldMetrics(measures), WorkerLag(worker), SpokenMetrics(fanout.measures), home, *pushes)
        started = utc_now()

        def oneself() -> Process:
            return Process(
                name=wanted.member,
                kind="worker",
                version=version("tidings"),
                since=started,
                partitions=tuple(sorted(worker.slots)),
            )

        roster = RedisRoster(redis, namespace=settings.cassandra_keyspace)
        work["roster"] = partial(tell_of_oneself, roster, oneself)
        yield Working(worker, health, told, work)


async def _tell_gateways(
    settings: Settings, url: str, partitions: int, stack: AsyncExitStack
) -> tuple[RedisFanout, RedisConnection]:
    name, namespace, address = settings.node or "worker", settings.cassandra_keyspace, parse(url)
    redis = RedisConnection(address, name=name, scripts=(*newest.SCRIPTS, *members.SCRIPTS, *presence.SCRIPTS))
    await redis.start()
    stack.push_async_callback(redis.stop)
    bus = Bus(address, name=name)
    await bus.start()
    stack.push_async_callback(bus.stop)
    fanout = RedisFanout(bus, namespace=namespace, partitions=partitions)
    keeper = MemberSetKeeper(redis, namespace=namespace)
    fanout.observers += [NewestMessages(redis, namespace=namespace).note, keeper.note]
    keeping = asyncio.create_task(keeper.run(), name="sets of members")
    stack.push_async_callback(_ended, keeping)
    await fanout.start()
    stack.push_async_callback(fanout.stop)
    return fanout, redis


async def folding(
    membership: Membership,
    log: KafkaLog,
    store: FoldStore,
    fanout: Fanout | None,
    stack: AsyncExitStack,
    *,
    dead_letters: str = DEAD_LETTERS_TOPIC,
    notifier: Notifier | None = None,
) -> FaustWorker:
    """A worker, not yet running, that folds the log into one store. Raises TopicUnsuitable, Unavailable."""
    letters = await dead_letters_of(membership, log, stack, topic=dead_letters)

    def make_fold(partition: int) -> PartitionFold:
        return PartitionFold(partition, store, letters, fanout, notifier=notifier)

    return FaustWorker(membership, make_fold, log.end, fanout)


async def dead_letters_of(
    membership: Membership,
    log: KafkaLog,
    stack: AsyncExitStack,
    *,
    topic: str = DEAD_LETTERS_TOPIC,
    replication: int | None = None,
) -> KafkaDeadLetters:
    """Raises TopicUnsuitable, Unavailable."""
    sender = Sender(membership.bootstrap)
    stack.push_async_callback(sender.close)
    wanted = Topic(topic, log.partitions)
    known = (await Topics(membership.bootstrap, replication).ensure([wanted], sender))[topic]
    return KafkaDeadLetters(sender, known.partitions, topic=topic, source=membership.topic)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def utc_now() -> datetime:
    return datetime.now(UTC)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop, also in the threads that Faust starts."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main)
