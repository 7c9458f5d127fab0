"""All rows of the chat views in SQLite, as every adapter of the views gives them: to compare and to hash."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from infra.sqlite.database import file_of, translated
from infra.sqlite.view_tables import HEAD, MEMBER, WAY_OUT

_LOGICAL = {
    "positions": "SELECT partition, next_offset FROM positions ORDER BY 1",
    "chats": f"SELECT chat_id, member_count, {HEAD} FROM chats ORDER BY 1",
    "members": f"SELECT chat_id, {MEMBER}, left_seq, m.offset FROM members m JOIN chats USING (k) ORDER BY 1, 2",
    "timeline": (
        "SELECT chat_id, place & 4294967295, t.n, t.offset, t.at_us, type, actor_id, raw "
        "FROM timeline t JOIN chats ON k = place >> 32 ORDER BY 1, 2"
    ),
    "message_ids": (
        "SELECT chat_id, lower(hex(message_id)), i.seq, i.code, coalesce(i.actor_id, t.actor_id), "
        "coalesce(i.offset, t.offset) FROM message_ids i JOIN chats USING (k) "
        "LEFT JOIN timeline t ON i.code IS NULL AND t.place = (i.k << 32 | i.seq) ORDER BY 1, 2"
    ),
    "refused": (
        "SELECT chat_id, r.offset, partition, actor_id, code, message_id FROM refused r JOIN chats USING (k) "
        "ORDER BY 1, 2"
    ),
    "parked": "SELECT chat_id, offset, partition, error, value FROM parked ORDER BY 1, 2",
    "files": "SELECT file_id, chat_id, seq, offset FROM files ORDER BY 1, 2",
}


def logical_rows(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """(table, columns …) of all rows in key order, whatever order chats came in or batches were cut.

    Raises Unavailable.
    """
    for table, query in _LOGICAL.items():
        with translated(file_of(db), WAY_OUT):
            for row in db.execute(query):
                yield table, *row


def count_rows(db: sqlite3.Connection) -> int:
    """How many rows `logical_rows` gives. Raises Unavailable."""
    with translated(file_of(db), WAY_OUT):
        return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _LOGICAL)
