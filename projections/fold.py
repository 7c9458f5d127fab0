"""The fold: what a record does to the views. The law of the system, as a function of state and record.

Same records, same views, whatever the batching, redelivery or crash point: nothing here reads a clock, draws
a random number or asks anything but what the batch core handed in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from commands.chat import MAX_BROADCAST_RECEIPTS, Chat, Member, evolve, is_numbered
from commands.rules import FUTURE_MS, changes_nothing, refusal
from events.codec import Decoded
from events.ids import unix_us
from events.log import Record
from events.types import EventData, MemberLeft, MemberRemoved, MessageRead, MessageSent
from projections.ports import Changes, Entry, FileUse, FirstUse, MemberRow, Membership, Moved, Refused


@dataclass(frozen=True, slots=True)
class Memory:
    """How much of the recent past a fold keeps at hand, so that it need not ask the views."""

    ids_us: int = FUTURE_MS * 1000 + 30_000_000
    """Message ids of so long (µs of the chat's own time). While that is over two minutes, a fresh id costs no
    look-up, however busy the chat."""
    ids: int = 400_000
    """At most so many ids in all chats together, some 300 bytes each …"""
    chats: int = 20_000
    """… and so many chats."""
    others: int = 256
    """At most twice so many seqs of a chat that carry no message: above the oldest of them, a read mark needs no
    look-up."""


_FUTURE_US = FUTURE_MS * 1000
_UNRECORDED = frozenset(("id_taken", "id_from_future", "invalid"))
"""Refusals of an id itself. They are judged anew each time: were they first uses, the answer to a later use
would depend on whether memory still held them."""


@dataclass(slots=True)
class Hot:
    """A chat in the fold's memory: its state, and what of its recent past need not be read from the views."""

    chat: Chat
    floor_us: int
    """The largest `occurred_at` whose message id may not be in `recent` any more. An id can only have been used
    at its own time - 2 min or later, so ids with a later time need no look-up in the views."""
    recent: dict[str, FirstUse] = field(default_factory=dict)
    used: deque[tuple[int, str]] = field(default_factory=deque)
    """(`occurred_at` in µs, id) of each of `recent`, in the order of the log."""
    base_seq: int = 0
    """The running `n` of every seq above it is known."""
    others: list[int] = field(default_factory=list)
    """The seqs above base_seq + 1 that carry no message, ascending. All others raise `n` by one, so these few say
    what `n` was at each seq, however long the chat is."""

    def needs_lookup(self, message_id: str, id_us: int) -> bool:
        """Whether only the views can tell if this id, with this time inside, was used before."""
        return 0 <= id_us <= self.floor_us + _FUTURE_US and message_id not in self.recent

    def n_at(self, seq: int) -> int | None:
        """The running `n` at a seq, or None where only the views know."""
        if seq == 0:
            return 0
        if seq <= self.base_seq:
            return None
        without = len(self.others) - bisect_right(self.others, seq)
        return self.chat.n - (self.chat.seq - seq - without)

    def trim(self, memory: Memory) -> int:
        """Forget what is older than `memory` keeps, between batches; gives the number of ids forgotten."""
        until = self.chat.latest_us - memory.ids_us
        used, forgotten = self.used, 0
        while used and used[0][0] < until:
            occurred_us, message_id = used.popleft()
            self.floor_us = max(self.floor_us, occurred_us)
            del self.recent[message_id]
            forgotten += 1
        over = len(self.others) - memory.others
        if over > memory.others:
            self.base_seq = self.others[over - 1] - 1
            del self.others[:over]
        return forgotten


def cold(chat: Chat) -> Hot:
    """A chat as just loaded: memory vouches for nothing before now. For a new chat it vouches for everything."""
    floor_us = chat.latest_us if chat.offset >= 0 else -_FUTURE_US
    return Hot(chat, floor_us, base_seq=max(0, chat.seq - 1))


def fold_record(
    changes: Changes,
    hot: Hot,
    record: Record,
    decoded: Decoded,
    uses: Mapping[tuple[str, str], FirstUse],
    ns: Mapping[tuple[str, int], int],
) -> None:
    """Fold one record of `hot.chat` into `changes`.

    `uses` and `ns` hold what the views answered for this batch. A record that the head already has is skipped.
    """
    chat, offset, event = hot.chat, record.offset, decoded.event
    if offset <= chat.offset:
        return
    data: EventData = event.data  # type: ignore[assignment]
    actor_id = event.actor_id
    occurred_us = unix_us(event.occurred_at)
    chat.offset = offset
    if occurred_us > chat.latest_us:
        chat.latest_us = occurred_us
    changes.heads[chat.chat_id] = chat

    if isinstance(data, MessageSent):
        code = _judge_id(changes, hot, record, decoded, data.message_id, occurred_us, uses)
        if code == "":
            return
        code = code or refusal(chat, actor_id, data)
    else:
        code = refusal(chat, actor_id, data)
    if code is not None:
        _refuse(changes, hot, record, actor_id, data, occurred_us, code)
        return

    chat.applied += 1
    if changes_nothing(chat, actor_id, data):
        return
    if not is_numbered(data):
        _move_marks(changes, hot, actor_id, data, occurred_us, offset, ns)
        return

    if isinstance(data, MessageSent):
        evolve(chat, actor_id, data, occurred_us)
        own = chat.members[actor_id]
        changes.members[chat.chat_id, actor_id] = MemberRow(chat.chat_id, own, None, offset)
        use = FirstUse(chat.chat_id, data.message_id, chat.seq, None, actor_id, offset)
        _remember(changes, hot, use, occurred_us)
        if data.file_id is not None:
            shown = FileUse(data.file_id, chat.chat_id, chat.seq, offset)
            changes.files[data.file_id, chat.chat_id] = shown
    else:
        leaving = chat.members.get(data.user_id) if isinstance(data, MemberLeft | MemberRemoved) else None
        touched = evolve(chat, actor_id, data, occurred_us)
        _member_rows(changes, chat, touched, leaving, offset)
        hot.others.append(chat.seq)
    changes.entries.append(Entry(chat.chat_id, chat.seq, chat.n, offset, chat.at_us, event.type, actor_id, decoded.raw))


def pass_over(changes: Changes, hot: Hot, offset: int) -> None:
    """A record that an operator discarded: it counts as void and does nothing else, whatever it may say."""
    if offset > hot.chat.offset:
        hot.chat.offset = offset
        hot.chat.void += 1
        changes.heads[hot.chat.chat_id] = hot.chat


def note_release(changes: Changes, hot: Hot, offset: int) -> None:
    """The record that released the chat, or held it."""
    if offset > hot.chat.offset:
        hot.chat.offset = offset
        hot.chat.applied += 1
        changes.heads[hot.chat.chat_id] = hot.chat


def _judge_id(
    changes: Changes,
    hot: Hot,
    record: Record,
    decoded: Decoded,
    message_id: str,
    occurred_us: int,
    uses: Mapping[tuple[str, str], FirstUse],
) -> str | None:
    """A refusal of the id itself, None where it is fresh, or "" for a repeat, which is then dealt with."""
    chat = hot.chat
    if decoded.id_us < 0:
        return "invalid"
    if decoded.id_us > occurred_us + _FUTURE_US:
        return "id_from_future"
    first = hot.recent.get(message_id)
    if first is None and uses:
        first = uses.get((chat.chat_id, message_id))
    # A row at this offset or later was written by a fold that came further and then died: not a first use yet.
    if first is None or first.offset >= record.offset:
        return None
    actor_id = decoded.event.actor_id
    if first.actor_id != actor_id:
        return "id_taken"
    chat.repeated += 1
    changes.repeats += 1
    if first.code is not None:
        changes.refused.append(Refused(chat.chat_id, record.partition, record.offset, actor_id, first.code, message_id))
    return ""


def _refuse(
    changes: Changes,
    hot: Hot,
    record: Record,
    actor_id: str,
    data: EventData,
    occurred_us: int,
    code: str,
) -> None:
    chat = hot.chat
    chat.void += 1
    message_id = data.message_id if isinstance(data, MessageSent) else None
    changes.refused.append(Refused(chat.chat_id, record.partition, record.offset, actor_id, code, message_id))
    if message_id is not None and code not in _UNRECORDED:
        _remember(changes, hot, FirstUse(chat.chat_id, message_id, 0, code, actor_id, record.offset), occurred_us)


def _remember(changes: Changes, hot: Hot, use: FirstUse, occurred_us: int) -> None:
    hot.recent[use.message_id] = use
    hot.used.append((occurred_us, use.message_id))
    changes.uses.append(use)


def _move_marks(
    changes: Changes,
    hot: Hot,
    actor_id: str,
    data: EventData,
    occurred_us: int,
    offset: int,
    ns: Mapping[tuple[str, int], int],
) -> None:
    chat = hot.chat
    read_n = 0
    if isinstance(data, MessageRead):
        known = hot.n_at(data.up_to_seq)
        read_n = ns[chat.chat_id, data.up_to_seq] if known is None else known
    evolve(chat, actor_id, data, occurred_us, read_n)
    own = chat.members[actor_id]
    changes.members[chat.chat_id, actor_id] = MemberRow(chat.chat_id, own, None, offset)
    if len(chat.members) <= MAX_BROADCAST_RECEIPTS:
        changes.moved[chat.chat_id, actor_id] = Moved(chat.chat_id, actor_id, own.delivered_seq, own.read_seq)


def _member_rows(changes: Changes, chat: Chat, touched: Sequence[str], left: Member | None, offset: int) -> None:
    """Rows for every member that this event brought, changed or took, and for nobody else: a group of thousands that
    grows one by one costs what a small one does."""
    chat_id = chat.chat_id
    for user_id in touched:
        member = chat.members.get(user_id)
        if member is None:
            assert left is not None, "who is touched and no member has left"
            changes.members[chat_id, user_id] = MemberRow(chat_id, left, chat.seq, offset)
            changes.memberships[user_id, chat_id] = Membership(user_id, chat_id, left.joined_seq, chat.seq, offset)
            continue
        changes.members[chat_id, user_id] = MemberRow(chat_id, member, None, offset)
        if member.joined_seq == chat.seq:
            changes.memberships[user_id, chat_id] = Membership(user_id, chat_id, chat.seq, None, offset)


def snapshot(changes: Changes) -> Changes:
    """The same changes with heads of their own, which later folding does not move."""
    heads = {key: replace(chat, members=dict(chat.members)) for key, chat in changes.heads.items()}
    return replace(changes, heads=heads)
