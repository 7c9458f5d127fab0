"""What can happen in a chat: one struct for the `data` of each event type, newest version.

Type names are literals in the past tense and never derived from Python names: a rename must not break
history. Older shapes live in `events/upcast.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["direct", "group"]
History = Literal["all", "since_join"]
Role = Literal["owner", "admin", "member"]
MessageKind = Literal["TEXT", "IMAGE", "FILE"]
LeaveReason = Literal["left", "erased"]


class Data(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The base of all event data."""


class ChatCreated(Data, frozen=True):
    kind: Kind
    title: str | None
    open: bool
    history: History
    member_ids: list[str]
    """All first members, the creator first."""


class ChatRetitled(Data, frozen=True):
    title: str


class ChatOpened(Data, frozen=True):
    open: bool


class MemberJoined(Data, frozen=True):
    user_id: str


class MemberLeft(Data, frozen=True):
    user_id: str
    reason: LeaveReason = "left"


class MemberAdded(Data, frozen=True):
    user_id: str


class MemberRemoved(Data, frozen=True):
    user_id: str


class RoleChanged(Data, frozen=True):
    user_id: str
    role: Role


class MessageSent(Data, frozen=True, omit_defaults=True):
    message_id: str
    kind: MessageKind
    body: bytes
    """Sealed: AES-GCM with chat, message and author as additional data (ADR 0004)."""
    file_id: str | None = None
    reply_to_message: str | None = None
    file: bytes | None = None
    """What the file is, sealed as the body is: name, type, size. Its bytes are not in the log."""


class MessageDelivered(Data, frozen=True):
    up_to_seq: int


class MessageRead(Data, frozen=True):
    up_to_seq: int


class ChatHeld(Data, frozen=True):
    """An operator has the chat wait: what comes after it is put aside until the chat is released. Not a thing that
    happened in the chat."""

    why: str


class ChatReleased(Data, frozen=True):
    """An operator has the records of this chat folded that were put aside; not a thing that happened in the chat."""

    discarded: list[int]
    """Offsets of those that are passed over for ever, in the chat's own partition."""


EventData = (
    ChatCreated
    | ChatRetitled
    | ChatOpened
    | MemberJoined
    | MemberLeft
    | MemberAdded
    | MemberRemoved
    | RoleChanged
    | MessageSent
    | MessageDelivered
    | MessageRead
)

NEWEST: dict[str, tuple[int, type[Data]]] = {
    "chat.created": (2, ChatCreated),
    "chat.retitled": (1, ChatRetitled),
    "chat.opened": (1, ChatOpened),
    "member.joined": (1, MemberJoined),
    "member.left": (1, MemberLeft),
    "member.added": (1, MemberAdded),
    "member.removed": (1, MemberRemoved),
    "member.role_changed": (1, RoleChanged),
    "message.sent": (2, MessageSent),
    "message.delivered": (1, MessageDelivered),
    "message.read": (1, MessageRead),
    "chat.held": (1, ChatHeld),
    "chat.released": (1, ChatReleased),
}
"""Event type → (newest version, its struct)."""

TYPE_OF: dict[type[Data], str] = {struct: name for name, (_, struct) in NEWEST.items()}
