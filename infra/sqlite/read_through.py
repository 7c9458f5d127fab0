"""Reading what is kept through: whether a bit of it has turned. SQLite finds what is broken in the structure of a file;
what is wrong inside of a record shows where it cannot be read any more, or where log and views, which each have it, say
different things.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from events.codec import Undecodable, decode
from events.log import Position
from events.partitioner import partition_of
from infra.sqlite.database import connect_read_only, quick_check, translated
from infra.sqlite.log_reader import SHIFT, SqliteLogReader
from infra.sqlite.log_reader import WAY_OUT as LOG_WAY_OUT
from infra.sqlite.view_tables import WAY_OUT as VIEWS_WAY_OUT

WHICH = "an older backup tells which of the two is right (docs/operating.md, A damaged file)"
_ENTRIES = (
    "SELECT chat_id, place & 4294967295, t.offset, type, actor_id, raw FROM timeline t JOIN chats ON k = place >> 32"
)
_RECORD = "SELECT key, value FROM records WHERE place = ?"


def damage(log: Path, views: Path, discarded: Collection[Position]) -> str:
    """The first thing that is wrong with a log and the views that are folded from it, with the way out; empty where
    nothing is. Reads all of both, beside whoever writes them. Views may not be there yet. Raises Unavailable."""
    for path, way_out in ((log, LOG_WAY_OUT), (views, VIEWS_WAY_OUT)):
        if path.exists() and (wrong := quick_check(path, way_out)):
            return f"{path} is damaged ({wrong}): {way_out}"
    return content_damage(log, views, discarded) if views.exists() else ""


def content_damage(log: Path, views: Path, discarded: Collection[Position]) -> str:
    """As `damage`, of what records say alone."""
    with (
        closing(SqliteLogReader(log)) as reader,
        closing(connect_read_only(log, way_out=LOG_WAY_OUT)) as records,
        closing(connect_read_only(views, way_out=VIEWS_WAY_OUT)) as rows,
        translated(views, VIEWS_WAY_OUT),
    ):
        rows.execute("BEGIN")  # one moment, whatever is folded meanwhile
        found = rows.execute("SELECT value FROM view_meta WHERE name = 'incarnation'").fetchone()
        known = {*discarded, *(Position(*row) for row in rows.execute("SELECT partition, offset FROM parked"))}
        positions = dict(rows.execute("SELECT partition, next_offset FROM positions").fetchall())
        ends = reader.ends()
        is_of_it = found is not None and found[0] == reader.incarnation
        if not is_of_it or any(position > ends.get(partition, 0) for partition, position in positions.items()):
            return ""  # of another log, or a longer one, which others tell
        for partition, position in positions.items():
            unreadable = _unreadable(reader, partition, position, known)
            if unreadable is not None:
                return f"{log} is damaged (the record at {unreadable} was folded, and is none any more): {LOG_WAY_OUT}"
        differing = next(_differing(rows, records, reader.partitions), None)
        return "" if differing is None else f"{log} and {views.name} say different things of {differing}: {WHICH}"


def _unreadable(reader: SqliteLogReader, partition: int, end: int, known: set[Position]) -> Position | None:
    """The first record below `end` that no code of ours wrote, but for those that are known to be such."""
    for batch in reader.batches(partition, 0, end):
        for record in batch:
            position = Position(partition, record.offset)
            said = _said(record.value)
            if (said is None or said[0] != record.key) and position not in known:
                return position
    return None


def _differing(rows: sqlite3.Connection, records: sqlite3.Connection, partitions: int) -> Iterator[str]:
    """Events of which the timeline says another thing than the log."""
    for chat_id, seq, offset, kind, actor_id, raw in rows.execute(_ENTRIES):
        position = Position(partition_of(chat_id, partitions), offset)
        found = records.execute(_RECORD, (position.partition << SHIFT | offset,)).fetchone()
        if found is None or found[0] != chat_id or _said(found[1]) != (chat_id, kind, actor_id, bytes(raw)):
            yield f"{position} (chat {chat_id}, seq {seq})"


def _said(value: bytes) -> tuple[str, str, str, bytes] | None:
    try:
        decoded = decode(value)
    except Undecodable:
        return None
    event = decoded.event
    return event.chat_id, event.type, event.actor_id, decoded.raw
