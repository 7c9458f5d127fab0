"""The tables of the chat views. Each generation has a keyspace of its own.

Names are chosen for whoever reads with cqlsh. Every column of a row that a later write may take back has a value
that says "none" (`left_seq` 0), so that no write needs a delete; what is null was never set.

Where a reader finds replicas to differ, Cassandra writes what it read to those that lack it: of a row that is whole on
one of them, only the columns which this reader asked for. Of heads many ask for a part, so there it must not; every
other row is written as a whole before a head speaks of it, so that half of one is never all that there is (ADR 0060).
"""

from __future__ import annotations

from hashlib import sha256

from events.ids import id_ms, is_uuid7

PROJECTION = "chats"
BUCKET = 5_000
"""Seqs in one partition of the timeline."""
_WEEK_MS = 7 * 24 * 3600 * 1000

TABLES = {
    # The static columns are the head. Head and members of a chat change in one single-partition batch.
    "chats": """(
        chat_id text, kind text STATIC, title text STATIC, open boolean STATIC, history text STATIC,
        created_by text STATIC, created_us bigint STATIC, member_count int STATIC, last_seq bigint STATIC,
        last_n bigint STATIC, last_message_seq bigint STATIC, at_us bigint STATIC, latest_us bigint STATIC,
        last_offset bigint STATIC, applied bigint STATIC, void bigint STATIC, repeated bigint STATIC,
        user_id text, role text, joined_seq bigint, visible_from bigint, delivered_seq bigint, read_seq bigint,
        read_n bigint, left_seq bigint, offset bigint,
        PRIMARY KEY ((chat_id), user_id)) WITH read_repair = 'NONE'""",
    "timeline": """(
        chat_id text, bucket int, seq bigint, n bigint, offset bigint, at_us bigint, type text, actor_id text,
        raw blob,
        PRIMARY KEY ((chat_id, bucket), seq)) WITH CLUSTERING ORDER BY (seq DESC)""",
    # The week is that of the time inside the id, so a look-up can compute it and no partition grows for ever.
    "message_ids": """(
        chat_id text, week int, message_id uuid, seq bigint, code text, actor_id text, offset bigint,
        PRIMARY KEY ((chat_id, week), message_id))""",
    "chats_by_user": """(
        user_id text, chat_id text, joined_seq bigint, left_seq bigint, offset bigint,
        PRIMARY KEY ((user_id), chat_id))""",
    "refused": """(
        chat_id text, offset bigint, partition int, actor_id text, code text, message_id text,
        PRIMARY KEY ((chat_id), offset))""",
    "parked": """(
        chat_id text, offset bigint, partition int, error text, value blob,
        PRIMARY KEY ((chat_id), offset))""",
    "files": """(
        file_id text, chat_id text, seq bigint, offset bigint,
        PRIMARY KEY ((file_id), chat_id))""",
    "positions": """(
        projection text, partition int, next_offset bigint, incarnation text,
        PRIMARY KEY ((projection), partition))""",
}

UNREPAIRED = "chats"
"""The table of which readers write nothing back."""

HEAD = (
    "kind, title, open, history, created_by, created_us, last_seq, last_n, last_message_seq, at_us, latest_us, "
    "last_offset, applied, void, repeated"
)
"""In the order of `Chat`'s fields after its id."""
MEMBER = "user_id, role, joined_seq, visible_from, delivered_seq, read_seq, read_n"
"""In the order of `Member`'s fields."""
ENTRY = "seq, n, offset, at_us, type, actor_id, raw"
"""In the order of `Entry`'s fields after its chat."""


_LONGEST_KEY = 60_000


def key_of(text: str) -> str:
    """An id as the key of a partition. Cassandra takes neither an empty one nor one beyond 64 KiB, but a log that
    others wrote may have such ids, and they must not stop the fold.
    """
    if text and text[0] != "\0" and len(text) * 4 <= _LONGEST_KEY:
        return text
    if len(text.encode()) > _LONGEST_KEY:
        return f"\0#{sha256(text.encode()).hexdigest()}"
    return f"\0{text}"


def id_of(key: str) -> str:
    """The id again. One that was too long stays what it became."""
    return key[1:] if key[:1] == "\0" and key[1:2] != "#" else key


def bucket_of(seq: int) -> int:
    return seq // BUCKET


def week_of(message_id: str) -> int:
    """The partition of a message id: weeks since 1970. -1 for what is no id, and so names no row."""
    return week_of_ms(id_ms(message_id)) if is_uuid7(message_id) else -1


def week_of_ms(id_ms: int) -> int:
    """The same of the time inside an id, in milliseconds since 1970."""
    return id_ms // _WEEK_MS
