"""The chat views in SQLite: one file per generation.

Rows, heads and the position of a batch go into one transaction. `synchronous=NORMAL`: a power cut may take the
last batches back, rows and position together, and the log refills them. Chats have integer keys inside, which
makes the hot indexes small; message ids, being ordered by time, come first in theirs, so inserts append.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from commands.chat import MAX_BROADCAST_RECEIPTS, Chat, Member
from infra.sqlite.committer import CHECKPOINT_BYTES, Checkpoints
from infra.sqlite.database import connect, connect_read_only, translated
from projections.logical import hash_of as hash_of
from projections.ports import (
    Changes,
    Entry,
    FirstUse,
    LogMismatch,
    Page,
    Refused,
    Summary,
)

_SCHEMA = """
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
"""
_SHIFT = 32
_MASK = (1 << _SHIFT) - 1
_PAGE_BYTES = 1024 * 1024
_LOOK_EVERY = 64
"""Batches between two looks at the size of the write-ahead log."""
_HEAD = (
    "kind, title, open, history, created_by, created_us, seq, n, last_message_seq, at_us, latest_us, offset, "
    "applied, void, repeated"
)
_HEAD_COLUMNS = _HEAD.split(", ")
_SAVE_HEAD = "UPDATE chats SET member_count=?, " + ", ".join(f"{c}=?" for c in _HEAD_COLUMNS) + " WHERE k=?"
_MEMBER = "user_id, role, joined_seq, visible_from, delivered_seq, read_seq, read_n"
_ENTRY = "place, n, offset, at_us, type, actor_id, raw"
_KEYS_KEPT = 100_000


class SqliteViews:
    """One generation: a FoldStore for its runner and ChatViews for queries. Lives on one event loop."""

    def __init__(
        self, path: Path, incarnation: str, ends: dict[int, int], *, checkpoint_bytes: int = CHECKPOINT_BYTES
    ) -> None:
        """Open or create the views of the log `incarnation`, which now ends at `ends`.

        Raises LogMismatch if the views are another log's or go beyond the log's end, and Unavailable.
        """
        self._path = path
        self._incarnation = incarnation
        self._checkpoints = Checkpoints(path, checkpoint_bytes)
        self._batches = 0
        self._keys: dict[str, int] = {}
        self._open()
        for partition, offset in self._positions().items():
            if offset > ends.get(partition, 0):
                self.close()
                raise LogMismatch(
                    f"{path.name} stands at {partition}:{offset}, beyond the log's end at "
                    f"{ends.get(partition, 0)}: was the log restored from an older copy?"
                )

    def _open(self) -> None:
        with translated():
            self._db = connect(self._path, "NORMAL")
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO view_meta VALUES ('incarnation', ?)", (self._incarnation,))
            found = self._db.execute("SELECT value FROM view_meta WHERE name = 'incarnation'").fetchone()[0]
            if found != self._incarnation:
                self._db.close()
                raise LogMismatch(f"{self._path.name} was folded from the log {found}, not {self._incarnation}")
            self._reader = connect_read_only(self._path)
        self._keys.clear()

    def close(self) -> None:
        self._checkpoints.close()
        self._reader.close()
        self._db.close()

    async def ping(self) -> None:
        """Return if the views answer. Raises Unavailable."""
        self._positions()

    # --- the fold's side -------------------------------------------------------------------------------------

    async def positions(self) -> dict[int, int]:
        return self._positions()

    def _positions(self) -> dict[int, int]:
        return dict(self._rows("SELECT partition, next_offset FROM positions"))

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        found: dict[str, Chat] = {}
        by_key: dict[int, Chat] = {}
        for chunk in _chunks(chat_ids):
            rows = self._rows(f"SELECT k, chat_id, {_HEAD} FROM chats WHERE chat_id IN ({_marks(chunk)})", chunk)
            for key, chat_id, *head in rows:
                found[chat_id] = by_key[key] = _chat(chat_id, head)
                self._note_key(chat_id, key)
        for chunk in _chunks(by_key):
            rows = self._rows(
                f"SELECT k, {_MEMBER} FROM members WHERE k IN ({_marks(chunk)}) AND left_seq IS NULL", chunk
            )
            for key, *member in rows:
                by_key[key].members[member[0]] = Member(*member)
        return found

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        found: dict[tuple[str, str], FirstUse] = {}
        for chat_id, message_id in pairs:
            use = self._first_use(chat_id, message_id)
            if use is not None:
                found[chat_id, message_id] = use
        return found

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for chat_id, seq in pairs:
            key = self._key(chat_id)
            if key is not None:
                rows = self._rows("SELECT n FROM timeline WHERE place = ?", (key << _SHIFT | seq,))
                if rows:
                    found[chat_id, seq] = rows[0][0]
        return found

    async def parked_chats(self) -> dict[str, int]:
        return dict(self._rows("SELECT chat_id, min(offset) FROM parked GROUP BY chat_id"))

    async def apply(self, changes: Changes) -> None:
        """All or nothing. After a failed commit the outcome is unknown: the files are opened anew."""
        try:
            with translated():
                self._db.execute("BEGIN IMMEDIATE")
                self._write(changes)
                # Without an fsync a commit is a copy into the page cache: dearer to hand over than to do.
                self._db.execute("COMMIT")
        except Exception:
            self._db.close()
            self._reader.close()
            self._open()
            raise
        self._batches += 1
        if self._batches % _LOOK_EVERY == 0:
            self._checkpoints.look()
        if self._checkpoints.is_ready:
            at_rest = asyncio.Event()
            self._checkpoints.finish(self._db, at_rest.set)
            await at_rest.wait()

    def _write(self, changes: Changes) -> None:
        many, keys = self._db.executemany, self._keys
        for chat_id in changes.heads:
            if chat_id not in keys:
                self._claim_key(chat_id)
        many(
            "INSERT OR REPLACE INTO timeline VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (keys[e.chat_id] << _SHIFT | e.seq, e.n, e.offset, e.at_us, e.type, e.actor_id, e.raw)
                for e in changes.entries
            ],
        )
        many(
            "INSERT OR REPLACE INTO message_ids VALUES (?, ?, ?, ?, ?, ?)",
            [
                (_id_bytes(u.message_id), keys[u.chat_id], u.seq, None, None, None)
                if u.code is None
                else (_id_bytes(u.message_id), keys[u.chat_id], 0, u.code, u.actor_id, u.offset)
                for u in changes.uses
            ],
        )
        if changes.refused:
            many(
                "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?)",
                [(keys[r.chat_id], r.offset, r.partition, r.actor_id, r.code, r.message_id) for r in changes.refused],
            )
        if changes.parked:
            many(
                "INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?)",
                [(p.chat_id, p.offset, p.partition, p.error, p.value) for p in changes.parked],
            )
        many(
            "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    keys[row.chat_id],
                    m.user_id,
                    m.role,
                    m.joined_seq,
                    m.visible_from,
                    m.delivered_seq,
                    m.read_seq,
                    m.read_n,
                    row.left_seq,
                    row.offset,
                )
                for row in changes.members.values()
                for m in (row.member,)
            ],
        )
        many(
            _SAVE_HEAD,
            [
                (
                    len(c.members),
                    c.kind,
                    c.title,
                    c.open,
                    c.history,
                    c.created_by,
                    c.created_us,
                    c.seq,
                    c.n,
                    c.last_message_seq,
                    c.at_us,
                    c.latest_us,
                    c.offset,
                    c.applied,
                    c.void,
                    c.repeated,
                    keys[chat_id],
                )
                for chat_id, c in changes.heads.items()
            ],
        )
        self._db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (changes.partition, changes.next_offset))

    def _claim_key(self, chat_id: str) -> None:
        row = self._db.execute("SELECT k FROM chats WHERE chat_id = ?", (chat_id,)).fetchone()
        if row is None:
            row = self._db.execute(
                "INSERT INTO chats VALUES (NULL,?,'',NULL,0,'','',0,0,0,0,0,0,0,-1,0,0,0) RETURNING k", (chat_id,)
            ).fetchone()
        self._note_key(chat_id, row[0])

    # --- queries ---------------------------------------------------------------------------------------------

    async def chat(self, chat_id: str) -> Chat | None:
        return (await self.load((chat_id,))).get(chat_id)

    async def chats_of(self, user_id: str) -> list[str]:
        return [
            row[0]
            for row in self._rows(
                "SELECT chat_id FROM members JOIN chats USING (k) WHERE user_id = ? AND left_seq IS NULL",
                (user_id,),
            )
        ]

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        head = ", ".join(f"c.{column}" for column in _HEAD_COLUMNS)
        member = ", ".join(f"m.{column}" for column in _MEMBER.split(", "))
        others = (
            "FROM members o WHERE o.k = c.k AND o.left_seq IS NULL AND o.user_id != m.user_id "
            f"AND c.member_count <= {MAX_BROADCAST_RECEIPTS}"
        )
        found = []
        for chunk in _chunks(chat_ids):
            rows = self._rows(
                f"SELECT c.chat_id, c.member_count, (SELECT min(o.delivered_seq) {others}), "
                f"(SELECT min(o.read_seq) {others}), {head}, {member} FROM chats c JOIN members m USING (k) "
                f"WHERE m.user_id = ? AND m.left_seq IS NULL AND c.chat_id IN ({_marks(chunk)})",
                (user_id, *chunk),
            )
            width = len(_HEAD_COLUMNS)
            for chat_id, count, delivered, read, *rest in rows:
                chat, own = _chat(chat_id, rest[:width]), Member(*rest[width:])
                found.append(Summary(chat, count, own, delivered or 0, read or 0))
        return found

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        return [
            Member(*row)
            for row in self._rows(
                f"SELECT {_MEMBER} FROM members WHERE k = ? AND user_id > ? AND left_seq IS NULL "
                "ORDER BY user_id LIMIT ?",
                (self._key(chat_id), after, limit),
            )
        ]

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return self._page(chat_id, (seq + 1, _MASK), "ASC", limit, messages_only)

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        page = self._page(chat_id, (0, min(seq - 1, _MASK)), "DESC", limit, messages_only)
        page.entries.reverse()
        return page

    def _page(self, chat_id: str, span: tuple[int, int], order: str, limit: int, messages_only: bool) -> Page:
        key = self._key(chat_id)
        if key is None or span[0] > span[1] or span[0] > _MASK:
            return Page([], False)
        only = "AND type = 'message.sent'" if messages_only else ""
        entries: list[Entry] = []
        size = 0
        with translated():
            cursor = self._reader.execute(
                f"SELECT {_ENTRY} FROM timeline WHERE place BETWEEN ? AND ? {only} ORDER BY place {order}",
                (key << _SHIFT | span[0], key << _SHIFT | span[1]),
            )
            for row in cursor:
                if len(entries) == limit or (entries and size + len(row[6]) > _PAGE_BYTES):
                    cursor.close()
                    return Page(entries, True)
                entries.append(_entry(chat_id, row))
                size += len(row[6])
        return Page(entries, False)

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        places: dict[int, str] = {}
        for chat_id, seq in keys:
            key = self._key(chat_id)
            if key is not None:
                places[key << _SHIFT | seq] = chat_id
        return [
            _entry(places[row[0]], row)
            for chunk in _chunks(places)
            for row in self._rows(f"SELECT {_ENTRY} FROM timeline WHERE place IN ({_marks(chunk)})", chunk)
        ]

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        return self._first_use(chat_id, message_id)

    def _first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        key = self._key(chat_id)
        if key is None:
            return None
        rows = self._rows(
            "SELECT i.seq, i.code, coalesce(i.actor_id, t.actor_id), coalesce(i.offset, t.offset) "
            "FROM message_ids i LEFT JOIN timeline t ON i.code IS NULL AND t.place = (i.k << 32 | i.seq) "
            "WHERE i.message_id = ? AND i.k = ?",
            (_id_bytes(message_id), key),
        )
        return FirstUse(chat_id, message_id, *rows[0]) if rows else None

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None:
        rows = self._rows(
            "SELECT partition, offset, actor_id, code, message_id FROM refused WHERE k = ? AND offset = ?",
            (self._key(chat_id), offset),
        )
        return Refused(chat_id, *rows[0]) if rows else None

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        """By binary search: time does not decrease with seq."""
        key = self._key(chat_id)
        if key is None:
            return 0
        low, high = 0, self._rows("SELECT seq FROM chats WHERE k = ?", (key,))[0][0]
        while low < high:
            middle = (low + high + 1) // 2
            rows = self._rows("SELECT at_us FROM timeline WHERE place = ?", (key << _SHIFT | middle,))
            low, high = (middle, high) if rows[0][0] < at_us else (low, middle - 1)
        return low

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All logical rows, as `logical_rows` gives them."""
        return logical_rows(self._reader)

    def hash(self) -> str:
        """SHA-256 over all logical rows."""
        return hash_of(self.rows())

    # --- keys ------------------------------------------------------------------------------------------------

    def _key(self, chat_id: str) -> int | None:
        key = self._keys.get(chat_id)
        if key is None:
            rows = self._rows("SELECT k FROM chats WHERE chat_id = ?", (chat_id,))
            if not rows:
                return None
            key = rows[0][0]
            self._note_key(chat_id, key)
        return key

    def _note_key(self, chat_id: str, key: int) -> None:
        if len(self._keys) >= _KEYS_KEPT:
            for old in list(self._keys)[: _KEYS_KEPT // 10]:
                del self._keys[old]
        self._keys[chat_id] = key

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated():
            return self._reader.execute(query, values).fetchall()


_LOGICAL = {
    "positions": "SELECT partition, next_offset FROM positions ORDER BY 1",
    "chats": f"SELECT chat_id, member_count, {_HEAD} FROM chats ORDER BY 1",
    "members": f"SELECT chat_id, {_MEMBER}, left_seq, m.offset FROM members m JOIN chats USING (k) ORDER BY 1, 2",
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
}


def logical_rows(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """(table, columns …) of all rows in key order, whatever order chats came in or batches were cut.

    Raises Unavailable.
    """
    for table, query in _LOGICAL.items():
        with translated():
            for row in db.execute(query):
                yield table, *row


def count_rows(db: sqlite3.Connection) -> int:
    """How many rows `logical_rows` gives. Raises Unavailable."""
    with translated():
        return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _LOGICAL)


def _chat(chat_id: str, head: Sequence[Any]) -> Chat:
    kind, title, opened, *rest = head
    return Chat(chat_id, kind, title, bool(opened), *rest)


def _entry(chat_id: str, row: Sequence[Any]) -> Entry:
    return Entry(chat_id, row[0] & _MASK, *row[1:])


def _id_bytes(message_id: str) -> bytes:
    return bytes.fromhex(message_id.replace("-", ""))


def _marks(chunk: Sequence[object]) -> str:
    return ",".join("?" * len(chunk))


def _chunks(values: Iterable[Any], size: int = 500) -> Iterable[list[Any]]:
    listed = list(values)
    return (listed[start : start + size] for start in range(0, len(listed), size))
