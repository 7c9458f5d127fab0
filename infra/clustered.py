"""The parts of a gateway in a cluster: Kafka, Cassandra, Redis and PostgreSQL, and no folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from infra.cassandra.connection import Connection as CassandraConnection
from infra.cassandra.connection import Contact
from infra.cassandra.generations import Generations
from infra.cassandra.served import RegisteredViews
from infra.kafka.log import KafkaLog
from infra.metrics.collectors import HeardLag, HeardMetrics, LogMetrics, ServedGeneration
from infra.parts import Parts
from infra.patience import patiently
from infra.push.any_device import until_workers_know
from infra.redis import members, newest, presence
from infra.redis.address import parse
from infra.redis.announcements import RedisAnnouncements
from infra.redis.bus import Bus
from infra.redis.cached_views import CachedViews
from infra.redis.connection import Connection as RedisConnection
from infra.redis.fanout import RedisFanout
from infra.redis.members import MemberSets
from infra.redis.newest import NewestMessages
from infra.redis.presence import RedisPresence
from infra.redis.roster import RedisRoster
from infra.secrets import Secrets
from infra.settings import Settings, host_port
from infra.wanted import for_gateway
from streams.progress import FoldProgress


async def clustered(settings: Settings, now: Callable[[], datetime], stack: AsyncExitStack) -> Parts:
    """Waits for Kafka; the others may come later. Raises BadSettings, TopicUnsuitable, Unavailable."""
    wanted = for_gateway(settings)
    log = await patiently("Kafka", lambda: open_log(settings))
    stack.push_async_callback(log.close)

    cassandra = CassandraConnection(contact(settings))
    stack.callback(cassandra.close)
    name, namespace = settings.node or "gateway", settings.cassandra_keyspace
    served = RegisteredViews(cassandra, Generations(cassandra, namespace), name)
    address = parse(wanted.redis)
    redis = RedisConnection(address, name=name, scripts=(*presence.SCRIPTS, *newest.SCRIPTS, *members.SCRIPTS))
    await redis.start()
    stack.push_async_callback(redis.stop)
    bus = Bus(address, name=name)
    await bus.start()
    stack.push_async_callback(bus.stop)
    fanout = RedisFanout(bus, namespace=namespace, partitions=log.partitions)
    announcements = RedisAnnouncements(bus, namespace=namespace)
    progress = FoldProgress(served.positions)
    served.told = progress.known

    async def listen() -> None:
        await announcements.start()
        await fanout.start()

    return Parts(
        secrets=Secrets(wanted.master, wanted.jwt),
        accounts_url=wanted.accounts_url,
        log=log,
        collectors=(
            LogMetrics(log.measures, lambda: log.last_ends, lambda: log.waiting, commits=False),
            HeardLag(lambda: log.last_ends, progress),
            HeardMetrics(fanout.measures),
            ServedGeneration(lambda: served.generation),
        ),
        views=CachedViews(served, NewestMessages(redis, namespace=namespace)),
        progress=progress,
        fanout=fanout,
        presence=RedisPresence(redis, now, namespace=namespace),
        roster=RedisRoster(redis, namespace=namespace),
        checks={"log": log.ping, "views": served.ping, "redis": redis.ping},
        groups=MemberSets(redis, served, namespace=namespace),
        announcements=announcements,
        listen=listen,
        unlisten=fanout.stop,
        work={"served generation": served.run},
        device_named=until_workers_know,
    )


async def open_log(settings: Settings) -> KafkaLog:
    """The log of the product, with its topics made where there are none. Raises Unavailable, TopicUnsuitable."""
    return await KafkaLog.open(",".join(settings.kafka), settings.partitions, replication=settings.replication)


def contact(settings: Settings) -> Contact:
    """Where Cassandra is. The settings must name it."""
    hosts = [host_port(node) for node in settings.cassandra]
    return Contact(tuple(host for host, _ in hosts), hosts[0][1], settings.cassandra_dc)
