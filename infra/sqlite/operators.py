"""What operators' tools leave for an embedded server: records to append, since the log has one writer, and which
records are discarded for ever. A file of its own, so that nobody waits for the log's lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from commands.errors import TidingsError, Unavailable
from commands.ports import Appended
from events.log import Position
from infra.sqlite.database import connect, translated

FILE = "operators.db"
POLL_S = 0.5
WAY_OUT = "put it back from a backup; without it, records that were discarded count again"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS to_append (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS discards (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
"""
logger = logging.getLogger(__name__)


class RawLog(Protocol):
    def append_raw(self, key: str, value: bytes, done: Appended) -> None: ...


class Operators:
    """Discards, and the letterbox. Opens the file for each call: there are few."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    async def all(self) -> Collection[Position]:
        """Discarded records."""
        return [Position(*row) for row in self._run("SELECT partition, offset FROM discards")]

    def discard(self, position: Position) -> None:
        """Note it for ever. Raises Unavailable."""
        self._run("INSERT OR IGNORE INTO discards VALUES (?, ?)", *position)

    def put(self, key: str, value: bytes) -> int:
        """Leave a record; gives its number. Raises Unavailable."""
        number: int = self._run("INSERT INTO to_append (key, value) VALUES (?, ?) RETURNING id", key, value)[0][0]
        return number

    def is_taken(self, number: int) -> bool:
        """Whether the log has the record with this number. Raises Unavailable."""
        return not self._run("SELECT 1 FROM to_append WHERE id = ?", number)

    async def append_all(self, log: RawLog) -> int:
        """Append what was left, and give how many records that was. Raises Unavailable."""
        if not self._path.exists():
            return 0
        rows = self._run("SELECT id, key, value FROM to_append ORDER BY id")
        for number, key, value in rows:
            await append_durably(log, key, value)
            self._run("DELETE FROM to_append WHERE id = ?", number)
        return len(rows)

    async def serve(self, log: RawLog) -> None:
        """Append what comes, until cancelled."""
        while True:
            try:
                await self.append_all(log)
            except Unavailable as error:
                logger.warning("what operators left for the log waits: %s", error)
            await asyncio.sleep(POLL_S)

    def _run(self, statement: str, *values: object) -> list[Any]:
        if statement.startswith("SELECT") and not self._path.exists():
            return []
        with translated(self._path, WAY_OUT):
            db = connect(self._path, "FULL", way_out=WAY_OUT)
            try:
                db.executescript(_SCHEMA)
                return db.execute(statement, values).fetchall()
            finally:
                db.close()


async def append_durably(log: RawLog, key: str, value: bytes) -> Position:
    """Append and wait. Raises Unavailable."""
    answer: asyncio.Future[Position] = asyncio.get_running_loop().create_future()

    def done(position: Position | None, error: TidingsError | None) -> None:
        if answer.done():  # who waited was cancelled
            return
        if position is None:
            answer.set_exception(error or Unavailable())
        else:
            answer.set_result(position)

    log.append_raw(key, value, done)
    return await answer
