"""What clients see of chats, messages and events: one shape each, for HTTP and for the socket alike.

These structs are the contract's own words: the AsyncAPI document is generated from them, and HTTP sends the
same objects as plain dicts (`api/render.py`). A field that may be absent has `UNSET` as its default.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from events.types import History, Kind, MessageKind, Role

Status = Literal["SENT", "DELIVERED", "READ"]


class Shape(msgspec.Struct, frozen=True, gc=False):
    """The base of everything that is shown."""


class MemberShape(Shape, frozen=True):
    user_id: str
    role: Role
    joined_seq: int


class OwnShape(Shape, frozen=True):
    """The reader's own membership."""

    role: Role
    joined_seq: int
    muted_until: str | None


class ChatShape(Shape, frozen=True):
    """A chat as one of its members sees it. `members` is there for chats of up to 50."""

    chat_id: str
    kind: Kind
    title: str | None
    open: bool
    history: History
    created_at: str
    created_by: str
    member_count: int
    me: OwnShape
    head_seq: int
    members: list[MemberShape] | UnsetType = UNSET


class FileShape(Shape, frozen=True):
    """A file; width and height in pixels are there for pictures. After `expires_at` its bytes are gone."""

    file_id: str
    name: str
    content_type: str
    size: int
    sha256: str
    expires_at: str
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET


class MessageShape(Shape, frozen=True):
    """`text` is null where the author's words were erased; `status` is null on others' messages."""

    seq: int
    n: int
    message_id: str
    chat_id: str
    sender_id: str
    kind: MessageKind
    text: str | None
    sent_at: str
    status: Status | None
    file: FileShape | UnsetType = UNSET
    reply_to_message: str | UnsetType = UNSET
    erased: bool | UnsetType = UNSET


class MessageSentShape(Shape, frozen=True):
    message_id: str
    kind: MessageKind
    text: str | None
    file: FileShape | UnsetType = UNSET
    reply_to_message: str | UnsetType = UNSET
    erased: bool | UnsetType = UNSET


class ChatCreatedShape(Shape, frozen=True):
    kind: Kind
    title: str | None
    open: bool
    member_ids: list[str]


class ChatRetitledShape(Shape, frozen=True):
    title: str


class ChatOpenedShape(Shape, frozen=True):
    open: bool


class MemberChangedShape(Shape, frozen=True):
    """Of `member.joined`, `member.left`, `member.added` and `member.removed`."""

    user_id: str


class RoleChangedShape(Shape, frozen=True):
    user_id: str
    role: Role


DataShape = (
    MessageSentShape | ChatCreatedShape | ChatRetitledShape | ChatOpenedShape | MemberChangedShape | RoleChangedShape
)

DATA_SHAPES: dict[str, type[Shape]] = {
    "message.sent": MessageSentShape,
    "chat.created": ChatCreatedShape,
    "chat.retitled": ChatRetitledShape,
    "chat.opened": ChatOpenedShape,
    "member.joined": MemberChangedShape,
    "member.left": MemberChangedShape,
    "member.added": MemberChangedShape,
    "member.removed": MemberChangedShape,
    "member.role_changed": RoleChangedShape,
}
"""Event type → what its `data` looks like."""


class EventShape(Shape, frozen=True):
    """What happened; `at` equals a message's `sent_at`."""

    type: str
    actor_id: str
    at: str
    data: DataShape


class EntryShape(Shape, frozen=True):
    """A numbered event. `n` is the message's ordinal, null on others."""

    chat_id: str
    seq: int
    n: int | None
    event: EventShape
