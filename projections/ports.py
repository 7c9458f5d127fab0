"""The rows of the read models, and the port through which folds write and queries read them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from commands.chat import Chat, Member


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A numbered event: one row of a chat's timeline, and what fan-out carries."""

    chat_id: str
    seq: int
    n: int
    """How many messages the chat has up to and with this seq; the message's own ordinal if it is one."""
    offset: int
    at_us: int
    """Never decreasing within a chat, so time can be searched by seq."""
    type: str
    actor_id: str
    raw: bytes
    """The event's data: JSON of the newest version of its type, bodies sealed."""


class FirstUse(msgspec.Struct, frozen=True, gc=False):
    """What became of the first record that carried a message id: a seq, or a refusal."""

    chat_id: str
    message_id: str
    seq: int
    """0 where it was refused."""
    code: str | None
    actor_id: str
    offset: int


class FileUse(msgspec.Struct, frozen=True, gc=False):
    """A chat in which a file was sent, and the last message that did so."""

    file_id: str
    chat_id: str
    seq: int
    offset: int


class Refused(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record that the fold did not let happen. It stays in the log and appears in no other view."""

    chat_id: str
    partition: int
    offset: int
    actor_id: str
    code: str
    message_id: str | None


class Moved(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A member's watermarks after they moved."""

    chat_id: str
    user_id: str
    delivered_seq: int
    read_seq: int


class Membership(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One row of a user's list of chats. Membership ends softly, so that a late write cannot revive it."""

    user_id: str
    chat_id: str
    joined_seq: int
    left_seq: int | None
    offset: int


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A record that could not be folded, or that came after one in its chat."""

    chat_id: str
    partition: int
    offset: int
    error: str
    value: bytes


class MemberRow(msgspec.Struct, frozen=True, gc=False):
    """A member as last changed by the record at `offset`; `left_seq` is set once membership ended."""

    chat_id: str
    member: Member
    left_seq: int | None
    offset: int


@dataclass(slots=True)
class Changes:
    """What a batch of one partition does to the views. Rows are written first, then heads, then
    what is released, then the position."""

    partition: int
    next_offset: int
    """The position: all records below it are in the views."""
    entries: list[Entry] = field(default_factory=list)
    uses: list[FirstUse] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    files: dict[tuple[str, str], FileUse] = field(default_factory=dict)
    """(file, chat) → row. Only messages with a file have one."""
    released: list[Parked] = field(default_factory=list)
    """Parked no more. Goes after the heads: until those have the records, the chat must be known to be parked."""
    memberships: dict[tuple[str, str], Membership] = field(default_factory=dict)
    """(user, chat) → row."""
    members: dict[tuple[str, str], MemberRow] = field(default_factory=dict)
    """(chat, user) → row. Goes with the head, in one write of that chat."""
    heads: dict[str, Chat] = field(default_factory=dict)
    moved: dict[tuple[str, str], Moved] = field(default_factory=dict)
    """For fan-out alone: (chat, user) → marks that a receipt moved."""
    repeats: int = 0
    traces: dict[int, str] = field(default_factory=dict)
    """For fan-out alone: offset → `traceparent`, of records that are traced. No fold sets it; who runs the fold may."""


Place = tuple[int, str]
"""Where a chat stands in a list: its last activity in µs since 1970, and its id where times are equal."""


class Summary(msgspec.Struct, frozen=True):
    """A chat as one of its members sees it in a list. `chat.members` is left empty."""

    chat: Chat
    member_count: int
    own: Member
    others_delivered: int
    others_read: int


class Page(msgspec.Struct, frozen=True):
    """Entries, oldest first. `has_more`: the direction of reading goes on beyond this page."""

    entries: list[Entry]
    has_more: bool


class LogMismatch(Exception):
    """Views that were folded from another log, or further than this log goes. Nobody resets them unasked."""


class FoldStore(Protocol):
    """One generation of the chat views, as its only runner sees it. All raise Unavailable when the store is away."""

    async def positions(self) -> dict[int, int]:
        """Partition → next offset to fold. Raises LogMismatch when the views belong to another log."""

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        """Heads with current members; chats without any folded record are absent."""

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        """As `load`, and what it gives cannot be lost any more. For chats whose head says that it has records from the
        offset `since` on: whoever wrote that may have died over it, with no more than one replica having taken it."""

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        """(chat, message id) → its first use, where the views have one."""

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """(chat, seq) → the running `n` at that seq."""

    async def parked_chats(self) -> dict[str, int]:
        """Chat → offset of its first record that could not be folded: from there on nothing is."""

    async def parked_of(self, chat_id: str) -> list[Parked]:
        """The records of a chat that wait, by offset."""

    async def apply(self, changes: Changes) -> None:
        """Write a batch. Repeating it, or a part of it, later or in between, changes nothing."""


class ChatViews(Protocol):
    """What queries read. Bounds are exclusive. All raise Unavailable when the store is away."""

    async def chat(self, chat_id: str) -> Chat | None:
        """Head and current members."""

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        """The same of many; chats without any folded record are absent."""

    async def chats_of(self, user_id: str) -> list[str]:
        """Ids of the chats that the user is in now, in no order."""

    async def newest_of(self, user_id: str, after: Place | None, limit: int) -> list[Place]:
        """Where the chats that the user is in stand in their list, the newest first: the first `limit` of those that
        follow `after`. Costs little for each chat, and reads of none more than its place."""

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        """Those of the chats that the user is in, in no order."""

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        """How many messages each of these users has not read, over all chats."""

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        """Current members with `user_id > after`, by user id."""

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        """The `limit` oldest with a greater seq. A page may end early at 1 MiB of data."""

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        """The `limit` newest with a smaller seq, oldest first. A page may end early at 1 MiB of data."""

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        """The entries of these (chat, seq), in no order, absent ones left out."""

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None: ...

    async def file_uses(self, file_id: str, after: str, limit: int) -> list[FileUse]:
        """Chats with `chat_id > after` in which the file was sent, by chat id."""

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None: ...

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        """The greatest seq whose time is earlier than `at_us`, 0 where there is none."""
