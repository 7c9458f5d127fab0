"""A cluster: Kafka's log and the generations of views in Cassandra, beside gateways and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from commands.errors import Unavailable
from events.log import Position
from infra.cassandra.connection import Connection
from infra.cassandra.first import replication
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.generations import Claimed, Generations
from infra.cassandra.keyspace import Keyspace
from infra.clustered import contact
from infra.estate import Busy, NoViews, ToolStore
from infra.kafka.discards import KafkaDiscards
from infra.kafka.log import KafkaLog
from infra.log_readers import open_log_reader
from infra.redis import members, newest
from infra.redis.address import parse
from infra.redis.connection import Connection as RedisConnection
from infra.settings import Settings
from infra.sqlite.operators import append_durably
from streams.batch import Discards
from streams.log_reader import LogReader
from streams.registry import Registry

_TIMEOUT_S = 30.0
"""Tools are patient."""


class ClusterEstate:
    """Estate."""

    def __init__(self, log: LogReader, connection: Connection, settings: Settings) -> None:
        self.log = log
        self._connection = connection
        self._copies = settings.replication
        self._redis_url = settings.redis
        self._namespace = settings.cassandra_keyspace
        self._bootstrap = ",".join(settings.kafka)
        self._discards: KafkaDiscards | None = None
        self._generations = Generations(connection, settings.cassandra_keyspace)
        self.registry: Registry = self._generations
        self._stores: dict[int, CassandraFoldStore] = {}

    @staticmethod
    async def open(settings: Settings) -> ClusterEstate:
        """Raises NoLog, Unavailable."""
        log = open_log_reader(settings)
        connection = Connection(replace(contact(settings), timeout_s=_TIMEOUT_S))
        return ClusterEstate(log, connection, settings)

    async def views(self, generation: int) -> ToolStore:
        if generation not in await self._generations.all():
            raise NoViews(f"there is no generation {generation}")
        return self._store(generation)

    async def fold_into(self, generation: int) -> ToolStore:
        if generation not in self._stores:
            await self._generations.create(generation, await replication(self._connection, self._copies))
        return self._store(generation)

    async def release(self, generation: int) -> None:
        """Several may fold a generation of Cassandra's beside each other."""

    async def discards(self) -> Discards:
        if self._discards is None:
            self._discards = await KafkaDiscards.open(self._bootstrap, replication=self._copies)
        return self._discards

    async def discard(self, position: Position) -> None:
        await self.discards()
        assert self._discards is not None, "made a line above"
        await self._discards.discard(position)

    async def append(self, key: str, value: bytes) -> None:
        log = await KafkaLog.open(self._bootstrap, self.log.partitions)
        try:
            await append_durably(log, key, value)
        finally:
            await log.close()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        try:
            async with self._generations.alone("rebuild"):
                yield
        except Claimed as error:
            raise Busy("another rebuild is under way, or was killed within the last 30 s") from error

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[bool]:
        """A worker may come at any time."""
        yield False

    async def forget(self, chat_id: str) -> None:
        if self._redis_url is None:
            raise Unavailable("TIDINGS_REDIS is not set")
        redis = RedisConnection(parse(self._redis_url), name="tools")
        await redis.start()
        try:
            await newest.NewestMessages(redis, namespace=self._namespace).forget(chat_id)
            await members.forget(redis, self._namespace, chat_id)
        finally:
            await redis.stop()

    async def is_served(self) -> bool:
        return bool(await self._generations.readers())

    async def damage(self) -> str:
        """Kafka and Cassandra keep checksums of their own."""
        return ""

    async def close(self) -> None:
        self._connection.close()
        self.log.close()

    def _store(self, generation: int) -> CassandraFoldStore:
        if generation not in self._stores:
            keyspace = Keyspace(self._connection, self._generations.keyspace(generation))
            self._stores[generation] = CassandraFoldStore(keyspace, self.log.incarnation, self._ends)
        return self._stores[generation]

    async def _ends(self) -> Mapping[int, int]:
        return self.log.ends()
