"""A FoldStore with the faults of a distributed last-write-wins store.

Each row carries a write time, the offset of the event that made it. Rows of a batch go in one by one and in any
order, heads after them, chat by chat, then the position; a batch may break off anywhere, and an old batch may
arrive late. SQLite, being atomic, would hide a fold that cannot live with this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from commands.chat import Chat, Member
from commands.errors import Unavailable
from projections.fold import snapshot
from projections.ports import Changes, Entry, FileUse, FirstUse, MemberRow, Parked, Refused

Write = tuple[str, Any, int, Any]
"""(table, key, write time, row)."""


class Adversary:
    def __init__(self, break_after: Callable[[int], int | None] = lambda writes: None) -> None:
        """`break_after(number of writes)` says after how many writes this batch breaks off; None: not at all."""
        self._tables: dict[str, dict[Any, tuple[int, Any]]] = {
            name: {}
            for name in ("positions", "chats", "members", "timeline", "message_ids", "refused", "parked", "files")
        }
        self._break_after = break_after
        self.shuffle: Callable[[list[Write]], None] = lambda writes: None
        self.seen: list[Changes] = []

    async def apply(self, changes: Changes) -> None:
        self.seen.append(snapshot(changes))
        rows, heads, released, position = self._writes(changes)
        self.shuffle(rows)
        self.shuffle(heads)
        self.shuffle(released)
        steps = [[write] for write in rows] + [write for _, _, _, write in heads]
        steps += [[write] for write in (*released, position)]
        stop = self._break_after(len(steps))
        for step in steps[:stop]:
            self._put(step)
        if stop is not None:
            raise Unavailable("the store broke off")

    def replay(self, changes: Changes) -> None:
        """A batch of a worker that was paused, arriving late and whole."""
        rows, heads, released, position = self._writes(changes)
        for step in [[write] for write in rows] + [write for _, _, _, write in heads]:
            self._put(step)
        self._put([*released, position])

    def _writes(self, changes: Changes) -> tuple[list[Write], list[Write], list[Write], Write]:
        changes = snapshot(changes)
        rows: list[Write] = [("timeline", (e.chat_id, e.seq), e.offset, e) for e in changes.entries]
        rows += [("message_ids", (u.chat_id, u.message_id), u.offset, u) for u in changes.uses]
        rows += [("refused", (r.chat_id, r.offset), r.offset, r) for r in changes.refused]
        rows += [("parked", (p.chat_id, p.offset), p.offset, p) for p in changes.parked]
        rows += [("files", key, f.offset, f) for key, f in changes.files.items()]
        heads: list[Write] = []
        for chat_id, chat in changes.heads.items():
            together: list[Write] = [("chats", chat_id, chat.offset, chat)]
            together += [("members", key, row.offset, row) for key, row in changes.members.items() if key[0] == chat_id]
            heads.append(("", chat_id, 0, together))
        released: list[Write] = [
            ("parked", (p.chat_id, p.offset), changes.next_offset - 1, None) for p in changes.released
        ]
        return rows, heads, released, ("positions", changes.partition, changes.next_offset, changes.next_offset)

    def _put(self, writes: list[Write]) -> None:
        for table, key, at, row in writes:
            held = self._tables[table].get(key)
            if held is None or at >= held[0]:
                self._tables[table][key] = (at, row)

    def _all(self, table: str) -> Iterator[tuple[Any, Any]]:
        rows = sorted(self._tables[table].items(), key=lambda item: item[0])
        return ((key, row) for key, (_, row) in rows if row is not None)

    def _get(self, table: str, key: Any) -> Any:
        held = self._tables[table].get(key)
        return None if held is None else held[1]

    async def positions(self) -> dict[int, int]:
        return dict(self._all("positions"))

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        found = {}
        for chat_id in chat_ids:
            chat = self._get("chats", chat_id)
            if chat is not None:
                found[chat_id] = replace(chat, members=self._current(chat_id))
        return found

    def _current(self, chat_id: str) -> dict[str, Member]:
        return {key[1]: row.member for key, row in self._all("members") if key[0] == chat_id and row.left_seq is None}

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        return {pair: use for pair in pairs if (use := self._get("message_ids", pair)) is not None}

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return {pair: entry.n for pair in pairs if (entry := self._get("timeline", pair)) is not None}

    async def parked_chats(self) -> dict[str, int]:
        first: dict[str, int] = {}
        for (chat_id, offset), _ in self._all("parked"):
            first.setdefault(chat_id, offset)
        return first

    async def parked_of(self, chat_id: str) -> list[Parked]:
        return [row for (own, _), row in self._all("parked") if own == chat_id]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The same logical rows as the SQLite views give."""
        for partition, offset in self._all("positions"):
            yield "positions", partition, offset
        for chat_id, c in self._all("chats"):
            yield (
                "chats", chat_id, len(self._current(chat_id)), c.kind, c.title, int(c.open), c.history, c.created_by,
                c.created_us, c.seq, c.n, c.last_message_seq, c.at_us, c.latest_us, c.offset, c.applied, c.void,
                c.repeated,
            )  # fmt: skip
        row: MemberRow
        for _, row in self._all("members"):
            m = row.member
            yield (
                "members", row.chat_id, m.user_id, m.role, m.joined_seq, m.visible_from, m.delivered_seq, m.read_seq,
                m.read_n, row.left_seq, row.offset,
            )  # fmt: skip
        e: Entry
        for _, e in self._all("timeline"):
            yield "timeline", e.chat_id, e.seq, e.n, e.offset, e.at_us, e.type, e.actor_id, e.raw
        u: FirstUse
        for _, u in self._all("message_ids"):
            yield "message_ids", u.chat_id, u.message_id.replace("-", ""), u.seq, u.code, u.actor_id, u.offset
        r: Refused
        for _, r in self._all("refused"):
            yield "refused", r.chat_id, r.offset, r.partition, r.actor_id, r.code, r.message_id
        p: Parked
        for _, p in self._all("parked"):
            yield "parked", p.chat_id, p.offset, p.partition, p.error, p.value
        f: FileUse
        for _, f in self._all("files"):
            yield "files", f.file_id, f.chat_id, f.seq, f.offset
