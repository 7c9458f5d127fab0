"""The data directory of an embedded server, beside the server or without it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from events.log import Position
from infra.estate import Busy, NoViews, ToolStore
from infra.layout import log_file, views_file
from infra.sqlite.chat_views import SqliteChatViews
from infra.sqlite.database import DataDirectoryInUse, DirectoryLock, is_served
from infra.sqlite.log import SqliteLog
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.operators import POLL_S, Operators
from infra.sqlite.read_through import damage
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views import SqliteViews
from streams.batch import Discards
from streams.log_reader import LogReader
from streams.registry import Registry

_LOCK = "rebuild.lock"


class EmbeddedEstate:
    """Estate."""

    def __init__(self, data: Path) -> None:
        """Raises NoLog, Unavailable."""
        self.log: LogReader = SqliteLogReader(log_file(data))
        self.registry: Registry = FileRegistry(data)
        self._data = data
        self._operators = Operators(data)
        self._read: dict[int, SqliteChatViews] = {}
        self._folded: dict[int, SqliteViews] = {}

    async def views(self, generation: int) -> SqliteChatViews:
        if generation not in self._read:
            path = views_file(self._data, generation)
            if not path.exists():
                raise NoViews(f"there is no {path.name} in {path.parent}")
            self._read[generation] = SqliteChatViews(path)
        return self._read[generation]

    async def fold_into(self, generation: int) -> ToolStore:
        if generation not in self._folded:
            path = views_file(self._data, generation)
            self._folded[generation] = SqliteViews(path, self.log.incarnation, self.log.ends)
        return self._folded[generation]

    async def release(self, generation: int) -> None:
        if generation in self._folded:
            self._folded.pop(generation).close()

    async def discards(self) -> Discards:
        return self._operators

    async def discard(self, position: Position) -> None:
        self._operators.discard(position)

    async def append(self, key: str, value: bytes) -> None:
        number = self._operators.put(key, value)
        if not await self.is_served():
            lock = DirectoryLock(self._data)
            try:
                log = SqliteLog(log_file(self._data), lambda: datetime.now(UTC))
                await self._operators.append_all(log)
                await log.close()
            finally:
                lock.release()
        while True:
            if self._operators.is_taken(number):
                return
            await asyncio.sleep(POLL_S / 5)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        fd = os.open(self._data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy("another rebuild is under way") from error
            yield
        finally:
            os.close(fd)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[bool]:
        try:
            lock = DirectoryLock(self._data)
        except DataDirectoryInUse:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    async def forget(self, chat_id: str) -> None:
        """The server asks the views."""

    async def is_served(self) -> bool:
        return is_served(self._data)[0]

    async def damage(self) -> str:
        served = (await self.registry.read()).served
        log, views, discarded = log_file(self._data), views_file(self._data, served), await self._operators.all()
        return await asyncio.to_thread(damage, log, views, discarded)

    async def close(self) -> None:
        for views in (*self._read.values(), *self._folded.values()):
            views.close()
        self.log.close()
