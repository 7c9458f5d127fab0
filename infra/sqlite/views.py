"""The chat views in SQLite as their fold writes them: one file per generation.

Rows, heads and the position of a batch go into one transaction. `synchronous=NORMAL`: a power cut may take the
last batches back, rows and position together, and the log refills them.

After a batch that was not written for certain both connections are closed. Whatever is asked next opens them anew, and
so does what is asked after that, should the file not open: as long as a lock is held or the disk is full.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.sqlite.chat_views import KEYS_KEPT, SqliteChatViews
from infra.sqlite.committer import CHECKPOINT_BYTES, Checkpoints
from infra.sqlite.database import BUSY_S, connect, connect_read_only
from infra.sqlite.logical import logical_rows as logical_rows
from infra.sqlite.view_tables import HEAD_COLUMNS, SCHEMA, SHIFT, WAY_OUT, id_bytes
from projections.inspection import Extra
from projections.logical import hash_of as hash_of
from projections.ports import Changes, LogMismatch

_LOOK_EVERY = 64
"""Batches between two looks at the size of the write-ahead log."""
_INCARNATION = "SELECT value FROM view_meta WHERE name = 'incarnation'"
_SAVE_HEAD = "UPDATE chats SET member_count=?, " + ", ".join(f"{c}=?" for c in HEAD_COLUMNS) + " WHERE k=?"


class SqliteViews(SqliteChatViews):
    """One generation: a FoldStore for its runner and ChatViews for queries. Lives on one event loop."""

    revisions: Sequence[int] = (1,)
    revives = False  # it would get another key, and the server remembers the one it had

    def __init__(
        self,
        path: Path,
        incarnation: str,
        ends: dict[int, int] | Callable[[], dict[int, int]],
        *,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        keys_kept: int = KEYS_KEPT,
        busy_s: float = BUSY_S,
    ) -> None:
        """Open or create the views of the log `incarnation`, which now ends at `ends`; asked after the views, where
        somebody else goes on writing both. `busy_s`: how long a lock of somebody else is waited for, which stops the
        event loop.

        Raises LogMismatch if the views are another log's or go beyond the log's end, and Unavailable.
        """
        self._path = path
        self._incarnation = incarnation
        self._checkpoints = Checkpoints(path, checkpoint_bytes)
        self._batches = 0
        self._keys: dict[str, int] = {}
        self._keys_kept = keys_kept
        self._busy_s = busy_s
        self._is_open = False
        self._open()
        positions = self._positions()
        ends = ends() if callable(ends) else ends
        for partition, offset in positions.items():
            if offset > ends.get(partition, 0):
                self.close()
                raise LogMismatch(
                    f"{path.name} stands at {partition}:{offset}, beyond the log's end at "
                    f"{ends.get(partition, 0)}: was the log restored from an older copy?"
                )

    def _open(self) -> None:
        self._keys.clear()
        db = connect(self._path, "NORMAL", self._busy_s, WAY_OUT)
        try:
            with self._translated():
                # Nothing of it needs the lock for writing where the tables are there.
                db.executescript(SCHEMA)
                row = db.execute(_INCARNATION).fetchone()
                if row is None:
                    db.execute("INSERT OR IGNORE INTO view_meta VALUES ('incarnation', ?)", (self._incarnation,))
                    row = db.execute(_INCARNATION).fetchone()
            if row[0] != self._incarnation:
                raise LogMismatch(f"{self._path.name} was folded from the log {row[0]}, not {self._incarnation}")
            self._reader = connect_read_only(self._path, self._busy_s, WAY_OUT)
        except BaseException:
            db.close()
            raise
        self._db = db
        self._is_open = True

    def _reading(self) -> sqlite3.Connection:
        if not self._is_open:
            self._open()
        return self._reader

    def _writing(self) -> sqlite3.Connection:
        if not self._is_open:
            self._open()
        return self._db

    def _close(self) -> None:
        self._is_open = False
        self._reader.close()
        self._db.close()

    def close(self) -> None:
        self._checkpoints.close()
        self._close()

    async def apply(self, changes: Changes) -> None:
        """All or nothing. After a failed commit the outcome is unknown: the files are opened anew."""
        db = self._writing()
        try:
            with self._translated():
                db.execute("BEGIN IMMEDIATE")
                self._write(changes, _BatchKeys(self._key_for))
                position = changes.partition, changes.next_offset
                db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", position)
                # Without an fsync a commit is a copy into the page cache: dearer to hand over than to do.
                db.execute("COMMIT")
        except Exception:
            self._close()
            raise
        self._batches += 1
        if self._batches % _LOOK_EVERY == 0:
            self._checkpoints.look()
        if self._checkpoints.is_ready:
            at_rest = asyncio.Event()
            self._checkpoints.finish(self._db, at_rest.set)
            await at_rest.wait()

    async def mend(self, changes: Changes, extra: Extra, revision: int) -> None:
        """Beside the server: each call is one short transaction, and keys of chats stay what they are."""
        db = self._writing()
        with self._translated():
            db.execute("BEGIN IMMEDIATE")
            try:
                # Whatever was remembered: its row may be what was lost.
                keys = _BatchKeys(self._claim_key)
                self._write(changes, keys)
                for chat_id, chat in changes.heads.items():
                    key = keys[chat_id]
                    self._remove(chat_id, key, extra)
                    beyond = key << SHIFT | chat.seq, key + 1 << SHIFT
                    db.execute("DELETE FROM timeline WHERE place > ? AND place < ?", beyond)
                db.execute("COMMIT")
            except BaseException:
                db.rollback()
                self._keys.clear()  # of rows that are not there
                raise

    def _remove(self, chat_id: str, key: int, extra: Extra) -> None:
        many = self._db.executemany
        many("DELETE FROM members WHERE k = ? AND user_id = ?", [(key, user_id) for user_id in extra.members])
        many("DELETE FROM refused WHERE k = ? AND offset = ?", [(key, offset) for offset in extra.refused])
        many("DELETE FROM parked WHERE chat_id = ? AND offset = ?", [(chat_id, offset) for offset in extra.parked])

    def _write(self, changes: Changes, keys: _BatchKeys) -> None:
        many = self._db.executemany
        many(
            "INSERT OR REPLACE INTO timeline VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (keys[e.chat_id] << SHIFT | e.seq, e.n, e.offset, e.at_us, e.type, e.actor_id, e.raw)
                for e in changes.entries
            ],
        )
        many(
            "INSERT OR REPLACE INTO message_ids VALUES (?, ?, ?, ?, ?, ?)",
            [
                (id_bytes(u.message_id), keys[u.chat_id], u.seq, None, None, None)
                if u.code is None
                else (id_bytes(u.message_id), keys[u.chat_id], 0, u.code, u.actor_id, u.offset)
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
        if changes.files:
            many(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                [(f.file_id, f.chat_id, f.seq, f.offset) for f in changes.files.values()],
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
        if changes.released:
            many(
                "DELETE FROM parked WHERE chat_id = ? AND offset = ?",
                [(p.chat_id, p.offset) for p in changes.released],
            )

    def _key_for(self, chat_id: str) -> int:
        return self._keys.get(chat_id) or self._claim_key(chat_id)

    def _claim_key(self, chat_id: str) -> int:
        """The key of a chat, made where it has none."""
        row = self._db.execute("SELECT k FROM chats WHERE chat_id = ?", (chat_id,)).fetchone()
        if row is None:
            row = self._db.execute(
                "INSERT INTO chats VALUES (NULL,?,'',NULL,0,'','',0,0,0,0,0,0,0,-1,0,0,0) RETURNING k", (chat_id,)
            ).fetchone()
        key: int = row[0]
        self._note_key(chat_id, key)
        return key


class _BatchKeys(dict[str, int]):
    """The keys of the chats of one batch, each looked up once: what is remembered between batches may be forgotten
    while the batch is written."""

    def __init__(self, find: Callable[[str], int]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, chat_id: str) -> int:
        key = self[chat_id] = self._find(chat_id)
        return key
