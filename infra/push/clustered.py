"""What a worker of a cluster has for pushes: topics in Kafka, whose partitions a consumer group shares out.

The group is not that of the fold: who pushes may be slow for a provider's sake, and the fold must not be (ADR 0037).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from commands.sealing import Sealer
from events.log import DEAD_LETTERS_TOPIC, NOTIFICATIONS_TOPIC, RETRIES_TOPIC
from infra.kafka.dead_letters import KafkaDeadLetters
from infra.kafka.holder import KafkaHolder
from infra.kafka.log import KafkaLog
from infra.kafka.queues import KafkaQueue
from infra.kafka.sender import Sender
from infra.kafka.topics import notification_topics
from infra.master_key import MasterKey
from infra.patience import patiently
from infra.push.role import PushQueues, PushRole, open_role
from infra.redis.connection import Connection
from infra.redis.presence import RedisPresence
from infra.settings import Settings
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database
from infra.sql.devices import SqlDevices
from infra.sql.keys import SqlKeys
from infra.wanted import ForPush
from projections.ports import ChatViews
from streams.push.notifier import Notifier
from streams.push.records import tag_of


async def open_queues(
    settings: Settings,
    log: KafkaLog,
    member: str,
    any_device: Callable[[], bool],
    now: Callable[[], datetime],
    stack: AsyncExitStack,
) -> tuple[Notifier, PushQueues]:
    """The topics are made where there are none. Raises TopicUnsuitable, Unavailable."""
    bootstrap = ",".join(settings.kafka)
    opened = []
    for topic in notification_topics(log.partitions):
        queue = await KafkaQueue.open(bootstrap, topic, replication=settings.replication)
        stack.push_async_callback(queue.close)
        opened.append(queue)
    notes, retries = opened
    sender = Sender(bootstrap)
    stack.push_async_callback(sender.close)
    letters = {
        topic: KafkaDeadLetters(sender, log.partitions, topic=DEAD_LETTERS_TOPIC, source=topic)
        for topic in (NOTIFICATIONS_TOPIC, RETRIES_TOPIC)
    }
    tag = tag_of(log.incarnation)
    holder = KafkaHolder(bootstrap, f"{settings.cassandra_keyspace}-push", member)
    return Notifier(notes, tag, now, any_device), PushQueues(retries, holder, letters, tag)


async def open_pushes(
    settings: Settings,
    wanted: ForPush,
    queues: PushQueues,
    views: ChatViews,
    redis: Connection,
    now: Callable[[], datetime],
    stack: AsyncExitStack,
) -> tuple[PushRole, Sealer, SqlDevices]:
    """`redis` must have been given the scripts of presence. Waits for the accounts.

    Raises BadSettings, Corrupt, Invalid, Unavailable.
    """
    master_key = MasterKey(wanted.master)

    async def open_accounts() -> Database:
        return await Database.open(wanted.accounts_url, master_key, replica_urls=settings.accounts_replica_urls)

    database = await patiently("the accounts", open_accounts)
    stack.push_async_callback(database.close)
    sealer = Sealer(SqlKeys(database, master_key))
    presence = RedisPresence(redis, now, namespace=settings.cassandra_keyspace)
    names = SqlAccounts(database, master_key)
    devices = SqlDevices(database)
    role = await open_role(settings, queues, views, devices, names, sealer, presence, now, stack)
    return role, sealer, devices
