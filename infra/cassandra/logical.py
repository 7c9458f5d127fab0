"""All rows of one generation, as every adapter of the views gives them: to compare and to hash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.cassandra.burst import Row
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.tables import ENTRY, HEAD, MEMBER, PROJECTION, id_of


def logical_rows(keyspace: Keyspace) -> Iterator[tuple[Any, ...]]:
    """As `projections/logical.py` says, read partition by partition. Blocks: meant for tools and tests.

    Keeps the keys of one table in memory. Not one moment: nobody may fold meanwhile. Raises Unavailable.
    """
    for row in _partition(keyspace, "positions", "partition, next_offset", "projection", (PROJECTION,)):
        yield "positions", *row
    for chat_id, count, kind, title, is_open, *head in _table(
        keyspace, "chats", f"member_count, {HEAD}", "chat_id", "LIMIT 1"
    ):
        yield "chats", chat_id, count, kind, title, int(is_open), *head
    for chat_id, *member, left_seq, offset in _table(keyspace, "chats", f"{MEMBER}, left_seq, offset", "chat_id"):
        if member[0] is not None:  # a head without any member
            yield "members", chat_id, *member, left_seq or None, offset
    for row in _table(keyspace, "timeline", ENTRY, "chat_id, bucket", "ORDER BY seq ASC"):
        yield "timeline", *row
    # By week and id: ids are ordered by the time that the week is taken from.
    for chat_id, message_id, *use in _table(
        keyspace, "message_ids", "message_id, seq, code, actor_id, offset", "chat_id, week"
    ):
        yield "message_ids", chat_id, message_id.hex, *use
    for row in _table(keyspace, "refused", "offset, partition, actor_id, code, message_id", "chat_id"):
        yield "refused", *row
    for row in _table(keyspace, "parked", "offset, partition, error, value", "chat_id"):
        yield "parked", *row
    for row in _table(keyspace, "files", "chat_id, seq, offset", "file_id"):
        yield "files", row[0], id_of(row[1]), *row[2:]


def _table(keyspace: Keyspace, table: str, columns: str, key: str, order: str = "") -> Iterator[Row]:
    """(id, columns …) of all rows. The id is that of the key's first column: a chat's, or a file's."""
    found = keyspace.read_now(f"SELECT DISTINCT {key} FROM {keyspace.name}.{table}")
    for chat_id, values in sorted((id_of(values[0]), values) for values in found):
        for row in _partition(keyspace, table, columns, key, values, order):
            yield chat_id, *row


def _partition(keyspace: Keyspace, table: str, columns: str, key: str, values: Row, order: str = "") -> Iterator[Row]:
    where = " AND ".join(f"{column} = ?" for column in key.split(", "))
    return keyspace.read_now(f"SELECT {columns} FROM {keyspace.name}.{table} WHERE {where} {order}", values)
