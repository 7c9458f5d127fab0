"""A FoldStore with the faults of a distributed last-write-wins store.

Each row carries a write time, the offset of the event that made it. Rows of a batch go in one by one and in any
order, heads after them, chat by chat, then the position; a batch may break off anywhere, and an old batch may
arrive late. SQLite, being atomic, would hide a fold that cannot live with this.

With several replicas each has columns of its own, as `replicas.py` tells: a write that broke off may have reached one
of them, and every read asks some quorum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, replace
from typing import Any

import msgspec

from commands.chat import Chat, Member
from commands.errors import Unavailable
from projections.fold import snapshot
from projections.ports import Changes, Entry, FileUse, FirstUse, MemberRow, Parked, Refused
from tests.contracts.replicas import Columns, Key, Mutation, Replicas

_TABLES: dict[str, type[Any]] = {
    "chats": Chat, "members": MemberRow, "timeline": Entry, "message_ids": FirstUse, "refused": Refused,
    "parked": Parked, "files": FileUse,
}  # fmt: skip
_CHAT = tuple(each.name for each in fields(Chat))
_VALUE = "value"
"""The one column of positions."""


class Adversary:
    def __init__(
        self, break_after: Callable[[int], int | None] = lambda writes: None, replicas: Replicas | None = None
    ) -> None:
        """`break_after(number of writes)` says after how many writes this batch breaks off; None: not at all."""
        self.replicas = replicas or Replicas(1)
        self._break_after = break_after
        self.shuffle: Callable[[list[Mutation]], None] = lambda writes: None
        self.seen: list[Changes] = []

    async def apply(self, changes: Changes) -> None:
        self.seen.append(snapshot(changes))
        rows, heads, released, position = self._writes(changes)
        self.shuffle(rows)
        self.shuffle(heads)
        self.shuffle(released)
        steps = [*rows, *heads, *released, position]
        stop = self._break_after(len(steps))
        for step in steps[:stop]:
            self.replicas.write(step)
        if stop is not None:
            for step in steps[stop : stop + 1]:
                self.replicas.write_in_part(step)
            raise Unavailable("the store broke off")

    def fall_back(self, partition: int, offset: int) -> None:
        """The position is an earlier one again, as after a loss of power that nobody waited out."""
        self.replicas.lose(("positions", "", partition))
        self.replicas.write({("positions", "", partition): (offset, {_VALUE: offset})})

    def replay(self, changes: Changes) -> None:
        """A batch of a worker that was paused, arriving late and whole."""
        rows, heads, released, position = self._writes(changes)
        for step in (*rows, *heads, *released, position):
            self.replicas.write(step)

    def _writes(self, changes: Changes) -> tuple[list[Mutation], list[Mutation], list[Mutation], Mutation]:
        changes = snapshot(changes)
        rows = [_row("timeline", e.chat_id, e.seq, e) for e in changes.entries]
        rows += [_row("message_ids", u.chat_id, u.message_id, u) for u in changes.uses]
        rows += [_row("refused", r.chat_id, r.offset, r) for r in changes.refused]
        rows += [_row("parked", p.chat_id, p.offset, p) for p in changes.parked]
        rows += [_row("files", *key, f) for key, f in changes.files.items()]
        heads = []
        for chat_id, chat in changes.heads.items():
            head = _row("chats", chat_id, "", chat)
            for (own, user_id), member in changes.members.items():
                if own == chat_id:
                    head |= _row("members", chat_id, user_id, member)
            heads.append(head)
        last = changes.next_offset - 1
        released: list[Mutation] = [{("parked", p.chat_id, p.offset): (last, None)} for p in changes.released]
        position: Mutation = {
            ("positions", "", changes.partition): (changes.next_offset, {_VALUE: changes.next_offset})
        }
        return rows, heads, released, position

    def _partition(self, table: str, partition: Any, columns: Collection[str] | None = None) -> dict[Any, Any]:
        """Key → row, as a quorum has it."""
        found = self.replicas.read(table, partition, columns)
        return {key[2]: _made(table, cells) for key, cells in sorted(found.items())}

    def _everything(self, table: str) -> Iterator[tuple[Any, Any, Any]]:
        for partition in self.replicas.partitions(table):
            for key, row in self._partition(table, partition).items():
                yield partition, key, row

    async def positions(self) -> dict[int, int]:
        return self._partition("positions", "")

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        found = {}
        for chat_id in chat_ids:
            rows = self.replicas.read_together(("chats", "members"), chat_id)
            if (head := rows.get(("chats", chat_id, ""))) is not None:
                found[chat_id] = replace(_made("chats", head), members=_current(rows))
        return found

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        found = {}
        for chat_id in chat_ids:
            rows = self.replicas.read_together(("chats", "members"), chat_id)
            if (head := rows.get(("chats", chat_id, ""))) is None:
                continue
            chat = found[chat_id] = replace(_made("chats", head), members=_current(rows))
            again = _row("chats", chat_id, "", chat)
            for key, cells in rows.items():
                if key[0] == "members" and cells["offset"] >= since:
                    again |= _row("members", chat_id, key[2], _made("members", cells))
            self.replicas.write(again)
        return found

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        found = {}
        for chat_id, message_id in pairs:
            for cells in self.replicas.read_together(("message_ids",), chat_id, keys=(message_id,)).values():
                found[chat_id, message_id] = _made("message_ids", cells)
        return found

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        found = {}
        for chat_id, seq in pairs:
            for cells in self.replicas.read_together(("timeline",), chat_id, ("n",), keys=(seq,)).values():
                found[chat_id, seq] = cells["n"]
        return found

    async def parked_chats(self) -> dict[str, int]:
        # Keys alone are asked for.
        first = {chat: self.replicas.read("parked", chat, ()) for chat in self.replicas.partitions("parked")}
        return {chat_id: min(key[2] for key in rows) for chat_id, rows in first.items() if rows}

    async def parked_of(self, chat_id: str) -> list[Parked]:
        return list(self._partition("parked", chat_id).values())

    # --- what gateways read of a chat, and nothing else --------------------------------------------------------------

    def read_last_seq(self, chat_id: str) -> None:
        self.replicas.read("chats", chat_id, ("seq",))

    def read_head_and_member(self, chat_id: str, user_id: str) -> None:
        self.replicas.read_together(("chats", "members"), chat_id, keys=("", user_id))

    def read_marks(self, chat_id: str, user_id: str) -> None:
        self.replicas.read_together(
            ("chats", "members"), chat_id, columns=("n", "left_seq", "read_n"), keys=("", user_id)
        )

    # -----------------------------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The same logical rows as the SQLite views give."""
        for partition, offset in self._partition("positions", "").items():
            yield "positions", partition, offset
        for chat_id, _, c in self._everything("chats"):
            members = self._partition("members", chat_id).values()
            count = sum(row.left_seq is None for row in members)
            yield (
                "chats", chat_id, count, c.kind, c.title, int(c.open), c.history, c.created_by,
                c.created_us, c.seq, c.n, c.last_message_seq, c.at_us, c.latest_us, c.offset, c.applied, c.void,
                c.repeated,
            )  # fmt: skip
        row: MemberRow
        for _, _, row in self._everything("members"):
            m = row.member
            yield (
                "members", row.chat_id, m.user_id, m.role, m.joined_seq, m.visible_from, m.delivered_seq, m.read_seq,
                m.read_n, row.left_seq, row.offset,
            )  # fmt: skip
        e: Entry
        for _, _, e in self._everything("timeline"):
            yield "timeline", e.chat_id, e.seq, e.n, e.offset, e.at_us, e.type, e.actor_id, e.raw
        u: FirstUse
        for _, _, u in self._everything("message_ids"):
            yield "message_ids", u.chat_id, u.message_id.replace("-", ""), u.seq, u.code, u.actor_id, u.offset
        r: Refused
        for _, _, r in self._everything("refused"):
            yield "refused", r.chat_id, r.offset, r.partition, r.actor_id, r.code, r.message_id
        p: Parked
        for _, _, p in self._everything("parked"):
            yield "parked", p.chat_id, p.offset, p.partition, p.error, p.value
        f: FileUse
        for _, _, f in self._everything("files"):
            yield "files", f.file_id, f.chat_id, f.seq, f.offset


def _current(rows: dict[Key, Columns]) -> dict[str, Member]:
    members = {key[2]: _made("members", cells) for key, cells in sorted(rows.items()) if key[0] == "members"}
    return {user_id: row.member for user_id, row in members.items() if row.left_seq is None}


def _row(table: str, partition: str, key: Any, row: Any) -> Mutation:
    """One row with all its columns; a member's stand beside those of its row."""
    columns = {name: getattr(row, name) for name in _names(type(row)) if name not in ("members", "member")}
    if table == "members":
        columns |= msgspec.structs.asdict(row.member)
    return {(table, partition, key): (row.offset, columns)}


def _made(table: str, cells: Columns) -> Any:
    """A row again. What a replica never had of it is None, as in Cassandra."""
    if table == "positions":
        return cells.get(_VALUE)
    if table == "members":
        member = _of(Member, cells)
        return MemberRow(cells.get("chat_id"), member, cells.get("left_seq"), cells.get("offset"))  # type: ignore[arg-type]
    return _of(_TABLES[table], cells)


def _of(kind: type[Any], cells: Columns) -> Any:
    return kind(*(cells.get(name) for name in _names(kind) if name != "members"))


def _names(kind: type[Any]) -> tuple[str, ...]:
    return kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else _CHAT
