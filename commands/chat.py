"""A chat's state and how events change it. The fold, the gateways and the tests all use this `evolve`.

`Chat` is a working copy that `evolve` changes in place: a group of 5,000 members must not be copied for
each message (ADR 0003). Everything inside it is immutable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from events.types import (
    ChatCreated,
    ChatOpened,
    ChatRetitled,
    EventData,
    History,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
    MessageSent,
    Role,
    RoleChanged,
)

MAX_MEMBERS = 5_000
MAX_BROADCAST_RECEIPTS = 100
"""In larger chats receipts are kept but not broadcast, and status stays `SENT`."""


NOBODY = ("", 0, 0)


class Member(msgspec.Struct, frozen=True, gc=False):
    """A current member. Marks are watermarks: everything up to them is delivered, or read."""

    user_id: str
    role: Role
    joined_seq: int
    visible_from: int
    """The first seq that this member may see."""
    delivered_seq: int
    read_seq: int
    read_n: int
    """`n` at `read_seq`: unread is `chat.n - read_n`."""


@dataclass(slots=True)
class Chat:
    """The fold's state of one chat. Before its `chat.created` a chat does not exist: `kind` is empty."""

    chat_id: str
    kind: str = ""
    title: str | None = None
    open: bool = False
    history: History = "since_join"
    created_by: str = ""
    created_us: int = 0
    seq: int = 0
    """The last number given: 1, 2, 3 … without a hole."""
    n: int = 0
    """How many of those are messages."""
    last_message_seq: int = 0
    at_us: int = 0
    """Time of the last numbered event in µs since 1970, never decreasing."""
    latest_us: int = 0
    """The largest `occurred_at` seen, refused events included."""
    offset: int = -1
    """Offset of the last record of this chat that was folded."""
    applied: int = 0
    void: int = 0
    repeated: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    left: tuple[str, int, int] = field(default=NOBODY, compare=False)
    """Who left last, and how far that member had got: (user id, delivered, read). Views need no column for it, for
    they keep the rows of those who left; they may give it only where one member is left."""

    @property
    def exists(self) -> bool:
        return self.kind != ""

    def others_marks(self, user_id: str) -> tuple[int, int]:
        """(delivered, read) that every other current member has reached; zeros where that is not told.

        Joining sets a member's marks to the join, so later members hold nothing back. Where nobody else is left,
        what the last of them had got to holds on: a status never goes back (ADR 0058).
        """
        if len(self.members) == 1:
            last, delivered, read = self.left
            return (0, 0) if last == user_id else (delivered, read)
        if not 1 < len(self.members) <= MAX_BROADCAST_RECEIPTS:
            return 0, 0
        delivered = read = -1
        for member in self.members.values():
            if member.user_id != user_id:
                delivered = member.delivered_seq if delivered < 0 else min(delivered, member.delivered_seq)
                read = member.read_seq if read < 0 else min(read, member.read_seq)
        return max(delivered, 0), max(read, 0)


def is_numbered(data: EventData) -> bool:
    """Whether clients see this event as one of the chat's seqs. Receipts are not."""
    return not isinstance(data, MessageDelivered | MessageRead)


def evolve(chat: Chat, actor_id: str, data: EventData, occurred_us: int, read_n: int = 0) -> Sequence[str]:
    """Apply an event that `refusal` admits and `changes_nothing` denies; gives the ids of the members that it
    brought, changed or took. Costs the same however many members there are, but where an owner leaves.

    `read_n` is the running `n` at `up_to_seq`, needed for `message.read` alone.
    """
    match data:
        case MessageSent():
            seq, n = _number(chat, occurred_us), chat.n + 1
            chat.n, chat.last_message_seq = n, seq
            own = chat.members[actor_id]
            chat.members[actor_id] = Member(actor_id, own.role, own.joined_seq, own.visible_from, seq, seq, n)
            return (actor_id,)
        case MessageDelivered(up_to_seq):
            own = chat.members[actor_id]
            chat.members[actor_id] = msgspec.structs.replace(own, delivered_seq=up_to_seq)
            return (actor_id,)
        case MessageRead(up_to_seq):
            own = chat.members[actor_id]
            delivered = max(own.delivered_seq, up_to_seq)
            chat.members[actor_id] = msgspec.structs.replace(
                own, delivered_seq=delivered, read_seq=up_to_seq, read_n=read_n
            )
            return (actor_id,)
        case ChatCreated(kind, title, opened, history, member_ids):
            seq = _number(chat, occurred_us)
            chat.kind, chat.title, chat.open, chat.history = kind, title, opened, history
            chat.created_by, chat.created_us = actor_id, chat.at_us
            for user_id in member_ids:
                role: Role = "owner" if kind == "group" and user_id == actor_id else "member"
                chat.members[user_id] = Member(user_id, role, seq, seq, seq, seq, chat.n)
            return member_ids
        case ChatRetitled(title):
            _number(chat, occurred_us)
            chat.title = title
            return ()
        case ChatOpened(opened):
            _number(chat, occurred_us)
            chat.open = opened
            return ()
        case MemberJoined(user_id) | MemberAdded(user_id):
            seq = _number(chat, occurred_us)
            visible_from = 1 if chat.history == "all" else seq
            # A group that everybody left has nobody to hand it over: who comes first owns it.
            first: Role = "member" if chat.members else "owner"
            chat.members[user_id] = Member(user_id, first, seq, visible_from, seq, seq, chat.n)
            return (user_id,)
        case MemberLeft(user_id) | MemberRemoved(user_id):
            _number(chat, occurred_us)
            gone = chat.members.pop(user_id)
            chat.left = (user_id, gone.delivered_seq, gone.read_seq)
            heir = successor(chat) if gone.role == "owner" else None
            if heir is None:
                return (user_id,)
            chat.members[heir] = msgspec.structs.replace(chat.members[heir], role="owner")
            return (user_id, heir)
        case RoleChanged(user_id, role):
            _number(chat, occurred_us)
            if role == "owner":
                chat.members[actor_id] = msgspec.structs.replace(chat.members[actor_id], role="admin")
            chat.members[user_id] = msgspec.structs.replace(chat.members[user_id], role=role)
            return (actor_id, user_id) if role == "owner" else (user_id,)
        case _:
            assert_never(data)


def successor(chat: Chat) -> str | None:
    """Who becomes owner when the owner leaves: the longest-serving admin, else member, of those left."""
    ranked = (
        (member.role != "admin", member.joined_seq, member.user_id)
        for member in chat.members.values()
        if member.role != "owner"
    )
    first = min(ranked, default=None)
    return None if first is None else first[2]


def _number(chat: Chat, occurred_us: int) -> int:
    """Give the next seq. Time never runs backwards within a chat, so time can be searched by seq."""
    chat.seq += 1
    if occurred_us > chat.at_us:
        chat.at_us = occurred_us
    return chat.seq
