"""The chat views in SQLite, as queries and folds read them: through a connection of its own that never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from commands.chat import MAX_BROADCAST_RECEIPTS, Chat, Member
from infra.sqlite.database import connect_read_only, translated
from infra.sqlite.logical import logical_rows
from infra.sqlite.view_tables import ENTRY, HEAD, HEAD_COLUMNS, MASK, MEMBER, SHIFT, WAY_OUT, id_bytes
from projections.inspection import Whole
from projections.logical import hash_of
from projections.ports import Entry, FileUse, FirstUse, MemberRow, Membership, Page, Parked, Place, Refused, Summary

_PAGE_BYTES = 1024 * 1024
_NEWEST: Place = (2**63 - 1, "")
_LEFT_LAST = "FROM members WHERE k = {k} AND left_seq IS NOT NULL ORDER BY left_seq DESC LIMIT 1"
KEYS_KEPT = 100_000
"""Chats whose keys are remembered; any of them may be forgotten at any time, so nobody relies on one being there."""


class SqliteChatViews:
    """ChatViews, and the reading half of a FoldStore, on one file. Lives on one event loop."""

    def __init__(self, path: Path, *, keys_kept: int = KEYS_KEPT) -> None:
        """Raises Unavailable."""
        self._path = path
        self._keys: dict[str, int] = {}
        self._keys_kept = keys_kept
        self._reader: sqlite3.Connection = connect_read_only(path, way_out=WAY_OUT)

    def close(self) -> None:
        self._reader.close()

    async def ping(self) -> None:
        """Return if the views answer. Raises Unavailable."""
        self._positions()

    # --- what folds ask ----------------------------------------------------------------------------------------

    async def positions(self) -> dict[int, int]:
        return self._positions()

    def _positions(self) -> dict[int, int]:
        return dict(self._rows("SELECT partition, next_offset FROM positions"))

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        found: dict[str, Chat] = {}
        by_key: dict[int, Chat] = {}
        for chunk in _chunks(chat_ids):
            rows = self._rows(f"SELECT k, chat_id, {HEAD} FROM chats WHERE chat_id IN ({_marks(chunk)})", chunk)
            for key, chat_id, *head in rows:
                found[chat_id] = by_key[key] = _chat(chat_id, head)
                self._note_key(chat_id, key)
        for chunk in _chunks(by_key):
            rows = self._rows(
                f"SELECT k, {MEMBER} FROM members WHERE k IN ({_marks(chunk)}) AND left_seq IS NULL", chunk
            )
            for key, *member in rows:
                by_key[key].members[member[0]] = Member(*member)
        for key, chat in by_key.items():
            if len(chat.members) == 1:
                for row in self._rows(f"SELECT user_id, delivered_seq, read_seq {_LEFT_LAST.format(k='?')}", (key,)):
                    chat.left = row
        return found

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        """What is committed stays."""
        return await self.load(chat_ids)

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
                rows = self._rows("SELECT n FROM timeline WHERE place = ?", (key << SHIFT | seq,))
                if rows:
                    found[chat_id, seq] = rows[0][0]
        return found

    async def parked_chats(self) -> dict[str, int]:
        return dict(self._rows("SELECT chat_id, min(offset) FROM parked GROUP BY chat_id"))

    # --- queries ---------------------------------------------------------------------------------------------

    async def chat(self, chat_id: str) -> Chat | None:
        return (await self.load((chat_id,))).get(chat_id)

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        return await self.load(chat_ids)

    async def chats_of(self, user_id: str) -> list[str]:
        return [
            row[0]
            for row in self._rows(
                "SELECT chat_id FROM members JOIN chats USING (k) WHERE user_id = ? AND left_seq IS NULL",
                (user_id,),
            )
        ]

    async def newest_of(self, user_id: str, after: Place | None, limit: int) -> list[Place]:
        # Rows are sorted as they are read, and no more than `limit` of them are kept.
        return self._rows(
            "SELECT c.at_us, c.chat_id FROM members m JOIN chats c USING (k) "
            "WHERE m.user_id = ? AND m.left_seq IS NULL AND (c.at_us, c.chat_id) < (?, ?) "
            "ORDER BY c.at_us DESC, c.chat_id DESC LIMIT ?",
            (user_id, *(after or _NEWEST), limit),
        )

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        head = ", ".join(f"c.{column}" for column in HEAD_COLUMNS)
        member = ", ".join(f"m.{column}" for column in MEMBER.split(", "))
        others = (
            "FROM members o WHERE o.k = c.k AND o.left_seq IS NULL AND o.user_id != m.user_id "
            f"AND c.member_count <= {MAX_BROADCAST_RECEIPTS}"
        )
        alone = "SELECT {} " + _LEFT_LAST.format(k="c.k")
        marks = ", ".join(
            f"coalesce((SELECT min(o.{mark}) {others}), CASE c.member_count WHEN 1 THEN ({alone.format(mark)}) END)"
            for mark in ("delivered_seq", "read_seq")
        )
        found = []
        for chunk in _chunks(chat_ids):
            rows = self._rows(
                f"SELECT c.chat_id, c.member_count, {marks}, {head}, {member} "
                "FROM chats c JOIN members m USING (k) "
                f"WHERE m.user_id = ? AND m.left_seq IS NULL AND c.chat_id IN ({_marks(chunk)})",
                (user_id, *chunk),
            )
            width = len(HEAD_COLUMNS)
            for chat_id, count, delivered, read, *rest in rows:
                chat, own = _chat(chat_id, rest[:width]), Member(*rest[width:])
                found.append(Summary(chat, count, own, delivered or 0, read or 0))
        return found

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        found = dict.fromkeys(user_ids, 0)
        for chunk in _chunks(found):
            rows = self._rows(
                "SELECT user_id, sum(max(0, c.n - m.read_n)) FROM members m JOIN chats c USING (k) "
                f"WHERE m.user_id IN ({_marks(chunk)}) AND m.left_seq IS NULL GROUP BY user_id",
                chunk,
            )
            found.update(rows)
        return found

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        return [
            Member(*row)
            for row in self._rows(
                f"SELECT {MEMBER} FROM members WHERE k = ? AND user_id > ? AND left_seq IS NULL "
                "ORDER BY user_id LIMIT ?",
                (self._key(chat_id), after, limit),
            )
        ]

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return self._page(chat_id, (seq + 1, MASK), "ASC", limit, messages_only)

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        page = self._page(chat_id, (0, min(seq - 1, MASK)), "DESC", limit, messages_only)
        page.entries.reverse()
        return page

    def _page(self, chat_id: str, span: tuple[int, int], order: str, limit: int, messages_only: bool) -> Page:
        key = self._key(chat_id)
        if key is None or span[0] > span[1] or span[0] > MASK:
            return Page([], False)
        only = "AND type = 'message.sent'" if messages_only else ""
        entries: list[Entry] = []
        size = 0
        with self._translated():
            cursor = self._reading().execute(
                f"SELECT {ENTRY} FROM timeline WHERE place BETWEEN ? AND ? {only} ORDER BY place {order}",
                (key << SHIFT | span[0], key << SHIFT | span[1]),
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
                places[key << SHIFT | seq] = chat_id
        return [
            _entry(places[row[0]], row)
            for chunk in _chunks(places)
            for row in self._rows(f"SELECT {ENTRY} FROM timeline WHERE place IN ({_marks(chunk)})", chunk)
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
            (id_bytes(message_id), key),
        )
        return FirstUse(chat_id, message_id, *rows[0]) if rows else None

    async def file_uses(self, file_id: str, after: str, limit: int) -> list[FileUse]:
        return [
            FileUse(*row)
            for row in self._rows(
                "SELECT file_id, chat_id, seq, offset FROM files WHERE file_id = ? AND chat_id > ? "
                "ORDER BY chat_id LIMIT ?",
                (file_id, after, limit),
            )
        ]

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
            rows = self._rows("SELECT at_us FROM timeline WHERE place = ?", (key << SHIFT | middle,))
            low, high = (middle, high) if rows[0][0] < at_us else (low, middle - 1)
        return low

    # --- what operators' tools ask -----------------------------------------------------------------------------

    async def chat_ids(self) -> AsyncIterator[list[str]]:
        after = ""
        while rows := self._rows("SELECT chat_id FROM chats WHERE chat_id > ? ORDER BY 1 LIMIT 1000", (after,)):
            yield [row[0] for row in rows]
            after = rows[-1][0]

    async def whole(self, chat_id: str) -> Whole | None:
        reader = self._reading()
        with self._translated():
            # One moment, whatever is folded meanwhile.
            reader.execute("BEGIN")
        try:
            chat = (await self.load((chat_id,))).get(chat_id)
            if chat is None:
                return None
            key = (self._key(chat_id),)
            rows = self._rows(f"SELECT {MEMBER}, left_seq, offset FROM members WHERE k = ? ORDER BY user_id", key)
            members = [MemberRow(chat_id, Member(*row[:-2]), *row[-2:]) for row in rows]
            refused = self._rows(
                "SELECT partition, offset, actor_id, code, message_id FROM refused WHERE k = ? ORDER BY offset", key
            )
            (count,) = self._rows("SELECT member_count FROM chats WHERE k = ?", key)[0]
            return Whole(chat, members, [Refused(chat_id, *row) for row in refused], count)
        finally:
            with self._translated():
                reader.execute("COMMIT")

    async def uses_of(self, chat_id: str, message_ids: Collection[str]) -> dict[str, FirstUse]:
        found = {message_id: self._first_use(chat_id, message_id) for message_id in message_ids}
        return {message_id: use for message_id, use in found.items() if use is not None}

    async def listed(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Membership]:
        """A user's list is made of the rows of members, by an index."""
        return {
            row[0]: Membership(row[0], chat_id, *row[1:])
            for chunk in _chunks(user_ids)
            for row in self._rows(
                "SELECT user_id, joined_seq, left_seq, offset FROM members "
                f"WHERE k = ? AND user_id IN ({_marks(chunk)})",
                (self._key(chat_id), *chunk),
            )
        }

    async def files_of(self, chat_id: str, file_ids: Collection[str]) -> dict[str, FileUse]:
        return {
            row[0]: FileUse(*row)
            for chunk in _chunks(file_ids)
            for row in self._rows(
                f"SELECT file_id, chat_id, seq, offset FROM files WHERE chat_id = ? AND file_id IN ({_marks(chunk)})",
                (chat_id, *chunk),
            )
        }

    async def parked_of(self, chat_id: str) -> list[Parked]:
        rows = self._rows(
            "SELECT partition, offset, error, value FROM parked WHERE chat_id = ? ORDER BY offset", (chat_id,)
        )
        return [Parked(chat_id, *row) for row in rows]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All logical rows, as `logical_rows` gives them."""
        return logical_rows(self._reading())

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
        if len(self._keys) >= self._keys_kept:
            for old in list(self._keys)[: max(1, self._keys_kept // 10)]:
                del self._keys[old]
        self._keys[chat_id] = key

    def _reading(self) -> sqlite3.Connection:
        """Where rows are read. Raises Unavailable."""
        return self._reader

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._path, WAY_OUT)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._translated():
            return self._reading().execute(query, values).fetchall()


def _chat(chat_id: str, head: Sequence[Any]) -> Chat:
    kind, title, opened, *rest = head
    return Chat(chat_id, kind, title, bool(opened), *rest)


def _entry(chat_id: str, row: Sequence[Any]) -> Entry:
    return Entry(chat_id, row[0] & MASK, *row[1:])


def _marks(chunk: Sequence[object]) -> str:
    return ",".join("?" * len(chunk))


def _chunks(values: Iterable[Any], size: int = 500) -> Iterable[list[Any]]:
    listed = list(values)
    return (listed[start : start + size] for start in range(0, len(listed), size))
