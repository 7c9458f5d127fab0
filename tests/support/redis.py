"""Processes of an installation that share a Redis server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from infra.redis import presence
from infra.redis.address import parse
from infra.redis.announcements import RedisAnnouncements
from infra.redis.bus import Bus
from infra.redis.connection import Connection, Script
from infra.redis.fanout import RedisFanout
from infra.redis.presence import RedisPresence
from streams.ports import FanoutReceiver

PATIENCE_S = 0.5
DIGEST_S = 0.1
SILENCE_S = 0.6


class Processes:
    """Gateways and workers with lines of their own to one server."""

    def __init__(self, url: str, namespace: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.namespace = namespace
        self._stack = stack

    async def bus(self, name: str, kind: type[Bus] = Bus) -> Bus:
        bus = kind(parse(self.url), name=name, patience_s=PATIENCE_S)
        await bus.start()
        self._stack.push_async_callback(bus.stop)
        return bus

    async def fanout(
        self, name: str, heard: FanoutReceiver | None = None, *, partitions: int = 1, bus: type[Bus] = Bus
    ) -> RedisFanout:
        """A gateway's with `heard`, else a worker's."""
        fanout = await self.unstarted_fanout(name, partitions=partitions, bus=bus)
        if heard is not None:
            fanout.attach(heard)
        await fanout.start()
        return fanout

    async def unstarted_fanout(self, name: str, *, partitions: int = 1, bus: type[Bus] = Bus) -> RedisFanout:
        fanout = RedisFanout(
            await self.bus(name, bus),
            namespace=self.namespace,
            partitions=partitions,
            digest_s=DIGEST_S,
            silence_s=SILENCE_S,
        )
        self._stack.push_async_callback(fanout.stop)
        return fanout

    async def announcements(self, name: str) -> RedisAnnouncements:
        announcements = RedisAnnouncements(await self.bus(name), namespace=self.namespace)
        await announcements.start()
        return announcements

    async def connection(self, name: str, scripts: Sequence[Script] = ()) -> Connection:
        connection = Connection(parse(self.url), name=name, scripts=scripts, patience_s=PATIENCE_S)
        await connection.start()
        self._stack.push_async_callback(connection.stop)
        return connection

    async def presence(self, name: str, now: Callable[[], datetime]) -> RedisPresence:
        connection = await self.connection(name, presence.SCRIPTS)
        return RedisPresence(connection, now, namespace=self.namespace)


@asynccontextmanager
async def processes(url: str, namespace: str) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        yield Processes(url, namespace, stack)
