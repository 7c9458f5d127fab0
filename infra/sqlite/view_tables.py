"""The tables of the chat views in SQLite: one file holds one generation.

Chats have integer keys inside, which makes the hot indexes small; message ids, being ordered by time, come first in
theirs, so inserts append.
"""

from __future__ import annotations

WAY_OUT = "stop the server and remove it, with its -wal and -shm files: it is folded anew from the log"
"""Where views are damaged."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS view_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS chats (
    k INTEGER PRIMARY KEY, chat_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, title TEXT, open INTEGER NOT NULL, history TEXT NOT NULL,
    created_by TEXT NOT NULL, created_us INTEGER NOT NULL, member_count INTEGER NOT NULL,
    seq INTEGER NOT NULL, n INTEGER NOT NULL, last_message_seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL, latest_us INTEGER NOT NULL, offset INTEGER NOT NULL,
    applied INTEGER NOT NULL, void INTEGER NOT NULL, repeated INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    k INTEGER NOT NULL, user_id TEXT NOT NULL, role TEXT NOT NULL, joined_seq INTEGER NOT NULL,
    visible_from INTEGER NOT NULL, delivered_seq INTEGER NOT NULL, read_seq INTEGER NOT NULL,
    read_n INTEGER NOT NULL, left_seq INTEGER, offset INTEGER NOT NULL,
    PRIMARY KEY (k, user_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_by_user ON members (user_id) WHERE left_seq IS NULL;
CREATE TABLE IF NOT EXISTS timeline (
    place INTEGER PRIMARY KEY,  -- k * 2^32 + seq
    n INTEGER NOT NULL, offset INTEGER NOT NULL, at_us INTEGER NOT NULL,
    type TEXT NOT NULL, actor_id TEXT NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS message_ids (
    message_id BLOB NOT NULL, k INTEGER NOT NULL, seq INTEGER NOT NULL,
    code TEXT, actor_id TEXT, offset INTEGER,  -- only where refused: else the timeline has them
    PRIMARY KEY (message_id, k)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
    k INTEGER NOT NULL, offset INTEGER NOT NULL, partition INTEGER NOT NULL,
    actor_id TEXT NOT NULL, code TEXT NOT NULL, message_id TEXT,
    PRIMARY KEY (k, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parked (
    chat_id TEXT NOT NULL, offset INTEGER NOT NULL, partition INTEGER NOT NULL,
    error TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (chat_id, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    file_id TEXT NOT NULL, chat_id TEXT NOT NULL, seq INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (file_id, chat_id)
) WITHOUT ROWID;
"""
SHIFT = 32
"""A row's `place` in the timeline is `k * 2^32 + seq`."""
MASK = (1 << SHIFT) - 1
HEAD = (
    "kind, title, open, history, created_by, created_us, seq, n, last_message_seq, at_us, latest_us, offset, "
    "applied, void, repeated"
)
"""In the order of `Chat`'s fields after its id."""
HEAD_COLUMNS = HEAD.split(", ")
MEMBER = "user_id, role, joined_seq, visible_from, delivered_seq, read_seq, read_n"
"""In the order of `Member`'s fields."""
ENTRY = "place, n, offset, at_us, type, actor_id, raw"


def id_bytes(message_id: str) -> bytes:
    """A message id as its column holds it."""
    return bytes.fromhex(message_id.replace("-", ""))
