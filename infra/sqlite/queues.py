"""Queues in SQLite: see `streams.push.queues`. One process puts, holds and takes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from infra.sqlite.push_file import PushFile
from streams.push.queues import Held, Item

KEPT = 10_000
"""Items kept after they are done: to recognise repeats by."""
_ITEM = "SELECT offset, key, value FROM items WHERE topic = ? AND partition = ?"


class SqliteQueue:
    def __init__(self, file: PushFile, topic: str, partitions: int) -> None:
        self.topic = topic
        self.partitions = partitions
        self.news = [asyncio.Event() for _ in range(partitions)]
        """Set when something was put."""
        self._file = file

    async def put(self, partition: int, items: Sequence[tuple[str, bytes]]) -> None:
        def insert(db: sqlite3.Connection) -> None:
            place = (self.topic, partition)
            found = db.execute("SELECT max(offset) FROM items WHERE topic = ? AND partition = ?", place).fetchone()[0]
            first = 0 if found is None else found + 1
            db.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                [(*place, first + index, key, value) for index, (key, value) in enumerate(items)],
            )

        await self._file.write(insert)
        self.news[partition].set()

    async def tail(self, partition: int, limit: int) -> Sequence[Item]:
        rows = self._file.rows(f"{_ITEM} ORDER BY offset DESC LIMIT ?", (self.topic, partition, limit))
        return [Item(*row) for row in reversed(rows)]

    def position(self, partition: int) -> int:
        query = "SELECT next_offset FROM positions WHERE topic = ? AND partition = ?"
        rows = self._file.rows(query, (self.topic, partition))
        return rows[0][0] if rows else 0

    def waiting(self) -> int:
        """How many items are not done. Raises Unavailable."""
        rows = self._file.rows("SELECT partition, max(offset) FROM items WHERE topic = ? GROUP BY 1", (self.topic,))
        return sum(max(0, last + 1 - self.position(partition)) for partition, last in rows)

    def hold(self, partition: int) -> Held:
        return _Held(self, self._file, partition)


class _Held:
    def __init__(self, queue: SqliteQueue, file: PushFile, partition: int) -> None:
        self.partition = partition
        self.closing = False
        self._queue = queue
        self._file = file
        self._next = queue.position(partition)

    async def before(self, limit: int) -> Sequence[Item]:
        place = (self._queue.topic, self.partition, self._next)
        rows = self._file.rows(f"{_ITEM} AND offset < ? ORDER BY offset DESC LIMIT ?", (*place, limit))
        return [Item(*row) for row in reversed(rows)]

    async def take(self, limit: int) -> Sequence[Item]:
        news = self._queue.news[self.partition]
        while True:
            news.clear()
            place = (self._queue.topic, self.partition, self._next)
            rows = self._file.rows(f"{_ITEM} AND offset >= ? ORDER BY offset LIMIT ?", (*place, limit))
            if rows:
                self._next = rows[-1][0] + 1
                return [Item(*row) for row in rows]
            await news.wait()

    async def done(self, offset: int) -> None:
        place = (self._queue.topic, self.partition)

        def note(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", (*place, offset))
            old = "DELETE FROM items WHERE topic = ? AND partition = ? AND offset < ?"
            db.execute(old, (*place, offset - KEPT))

        await self._file.write(note)


class SqliteHolder:
    def __init__(self, queues: Sequence[SqliteQueue]) -> None:
        self._queues = {queue.topic: queue for queue in queues}

    async def hold(self, works: Mapping[str, Callable[[Held], Coroutine[Any, Any, None]]]) -> None:
        held = [
            (work, self._queues[topic].hold(number))
            for topic, work in works.items()
            for number in range(self._queues[topic].partitions)
        ]
        try:
            async with asyncio.TaskGroup() as tasks:
                for work, partition in held:
                    tasks.create_task(work(partition))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
