"""What became of pushes, in `push.db`: references, no texts, so that what is erased is erased here too."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from events.ids import unix_ms
from infra.sqlite.database import connect_read_only, translated
from infra.sqlite.push_file import WAY_OUT, PushFile
from projections.ports import Parked
from streams.push.stream import Sent

KEPT = 10_000


class Line(NamedTuple):
    """A push and its outcome."""

    number: int
    at_ms: int
    user_id: str
    device_id: str
    platform: str
    chat_id: str
    seq: int
    result: str
    detail: str


class SqliteJournal:
    def __init__(self, file: PushFile) -> None:
        self._file = file

    async def note(self, sent: Sequence[Sent]) -> None:
        """Raises Unavailable."""
        lines = [
            (
                unix_ms(each.at),
                each.push.device.user_id,
                each.push.device.device_id,
                each.push.device.platform,
                each.push.chat_id,
                each.push.seq,
                each.outcome.result,
                each.outcome.detail,
            )
            for each in sent
        ]

        def insert(db: sqlite3.Connection) -> None:
            db.executemany("INSERT INTO outcomes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", lines)
            db.execute("DELETE FROM outcomes WHERE number <= (SELECT max(number) FROM outcomes) - ?", (KEPT,))

        await self._file.write(insert)

    async def forget(self, user_ids: Collection[str]) -> None:
        """Overwrite which devices these users had, in all that is kept. Places stay, for they are counted. Raises
        Unavailable."""
        listed = list(user_ids)

        def overwrite(db: sqlite3.Connection) -> None:
            for start in range(0, len(listed), _AT_ONCE):
                some = listed[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                db.execute(f"DELETE FROM outcomes WHERE user_id IN ({marks})", some)
                for table in ("items", "dead_letters"):
                    db.execute(_OVERWRITE.format(table=table, marks=marks), some)

        await self._file.write(overwrite)
        await self._file.empty_write_ahead_log()


_AT_ONCE = 500
_OVERWRITE = """
UPDATE {table}
SET value = CAST(json_set(CAST(value AS TEXT), '$.user_id', 'erased', '$.device_id', 'erased') AS BLOB)
WHERE json_valid(CAST(value AS TEXT)) AND json_extract(CAST(value AS TEXT), '$.user_id') IN ({marks})
"""
"""A retry of nobody's is found to be in vain, as it is for a device that has gone."""


class SqliteDeadLetters:
    """See `streams.dead_letters`: of one topic of pushes."""

    def __init__(self, file: PushFile, topic: str, now: Callable[[], datetime]) -> None:
        self._file = file
        self._topic = topic
        self._now = now

    async def put(self, parked: Sequence[Parked]) -> None:
        at_ms = unix_ms(self._now())
        rows = [
            (at_ms, self._topic, each.partition, each.offset, each.chat_id, each.error, each.value) for each in parked
        ]
        insert = "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?)"
        await self._file.write(lambda db: db.executemany(insert, rows))


def read_journal(path: Path, after: int, limit: int) -> list[Line]:
    """Lines above a number, oldest first, of the newest `limit`; also beside a server. Raises Unavailable."""
    query = "SELECT * FROM (SELECT * FROM outcomes WHERE number > ? ORDER BY number DESC LIMIT ?) ORDER BY number"
    with translated(path, WAY_OUT):
        db = connect_read_only(path, way_out=WAY_OUT)
        try:
            return [Line(*row) for row in db.execute(query, (after, limit))]
        finally:
            db.close()
