"""What the routes of chats answer with."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Response

from api.presence import PresenceShape
from api.shapes import ChatShape, EntryShape, MemberShape, MessageShape, Shape
from projections.receipts import Mark

REF = "#/components/schemas/{name}"


class PositionAnswer(Shape, frozen=True):
    """Where the command stands in the log, as `partition:offset`: a read waits for it with Tidings-Min-Position."""

    position: str


class ChatAnswer(Shape, frozen=True):
    chat: ChatShape


class ChatPositionAnswer(Shape, frozen=True):
    chat: ChatShape
    position: str


class ChatPendingAnswer(Shape, frozen=True):
    """The log has the chat's creation; the views do not show it yet."""

    chat_id: str
    position: str


class InboxItemShape(Shape, frozen=True):
    """A chat in the list. `last_message.text` is cut at 200 characters; `unread` counts messages."""

    chat: ChatShape
    head_seq: int
    unread: int
    read_seq: int
    others_delivered_seq: int
    others_read_seq: int
    last_message: MessageShape | None
    activity_at: str


class InboxAnswer(Shape, frozen=True):
    items: list[InboxItemShape]
    next_cursor: str | None


class MembersAnswer(Shape, frozen=True):
    items: list[MemberShape]
    next_cursor: str | None


class MessageAnswer(Shape, frozen=True):
    message: MessageShape


class MessagePositionAnswer(Shape, frozen=True):
    message: MessageShape
    position: str


class MessagePendingAnswer(Shape, frozen=True):
    """The log has the message; the views do not show it yet, and the chat may still refuse it."""

    message_id: str
    position: str


class MessagesAnswer(Shape, frozen=True):
    """Oldest first. `has_more`: in the direction of reading there is more than this page."""

    items: list[MessageShape]
    has_more: bool


class EventsAnswer(Shape, frozen=True):
    """`head_seq` is there only where what was asked for lies beyond it."""

    items: list[EntryShape]
    has_more: bool
    head_seq: int | msgspec.UnsetType = msgspec.UNSET


class ReceiptsAnswer(Shape, frozen=True):
    items: list[Mark]


class MuteAnswer(Shape, frozen=True):
    muted_until: str | None
    position: str


class LinkAnswer(Shape, frozen=True):
    """`thumbnail_url` is null for what is no picture."""

    url: str
    thumbnail_url: str | None
    expires_at: str


class PresenceAnswer(Shape, frozen=True):
    items: list[PresenceShape]


_encoder = msgspec.json.Encoder()


def answer(shape: Shape, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encoder.encode(shape), status, headers, media_type="application/json")


def content(shape: type[Shape], description: str) -> dict[str, Any]:
    """One row of a route's `responses`."""
    schema = {"$ref": REF.format(name=shape.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
