"""From rows and state to what clients see. Everything that shows a chat, a message or an event goes through here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from time import gmtime, strftime
from typing import assert_never, cast

import msgspec
from msgspec import UNSET

from api.shapes import (
    ChatCreatedShape,
    ChatOpenedShape,
    ChatRetitledShape,
    ChatShape,
    DataShape,
    EntryShape,
    EventShape,
    FileShape,
    MemberChangedShape,
    MemberShape,
    MessageSentShape,
    MessageShape,
    OwnShape,
    RoleChangedShape,
    Status,
)
from commands.chat import Chat, Member
from commands.files import FileInfo
from events.codec import decode_row
from events.ids import unix_us
from events.types import (
    ChatCreated,
    ChatOpened,
    ChatRetitled,
    EventData,
    History,
    Kind,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
    MessageSent,
    RoleChanged,
)
from projections.ports import Entry

MAX_MEMBERS_SHOWN = 50
"""Up to this size a chat object lists its members."""


@lru_cache(maxsize=4096)
def _second(unix_s: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(unix_s))


def rfc3339(unix_us: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, cut to milliseconds: `2024-05-01T12:00:00.123Z`."""
    seconds, rest = divmod(unix_us, 1_000_000)
    return f"{_second(seconds)}.{rest // 1000:03d}Z"


def data_of(entry: Entry) -> EventData:
    """The event's data, bodies still sealed."""
    return cast(EventData, decode_row(entry.type, entry.raw))


def chat_shape(
    chat: Chat, own: Member, muted_until: str | None, member_count: int, members: Iterable[Member] | None
) -> ChatShape:
    """A chat as the member `own` sees it. `members` None leaves the list out."""
    shown: list[MemberShape] | msgspec.UnsetType = UNSET
    if members is not None and member_count <= MAX_MEMBERS_SHOWN:
        shown = [MemberShape(member.user_id, member.role, member.joined_seq) for member in members]
    kind: Kind = "direct" if chat.kind == "direct" else "group"
    history: History = chat.history
    return ChatShape(
        chat_id=chat.chat_id,
        kind=kind,
        title=chat.title,
        open=chat.open,
        history=history,
        created_at=rfc3339(chat.created_us),
        created_by=chat.created_by,
        member_count=member_count,
        me=OwnShape(own.role, own.joined_seq, muted_until),
        head_seq=chat.seq,
        members=shown,
    )


def file_shape(info: FileInfo) -> FileShape:
    return FileShape(
        info.file_id,
        info.name,
        info.content_type,
        info.size,
        info.sha256,
        rfc3339(unix_us(info.expires_at)),
        UNSET if info.width is None else info.width,
        UNSET if info.height is None else info.height,
    )


def data_shape(data: EventData, text: str | None, file: FileInfo | None = None) -> DataShape:
    """What clients see of an event's data; `text` is an opened message's, None where it was erased."""
    match data:
        case MessageSent(message_id, kind, _, _, reply_to):
            return MessageSentShape(
                message_id,
                kind,
                text,
                UNSET if file is None else file_shape(file),
                UNSET if reply_to is None else reply_to,
                UNSET if text is not None else True,
            )
        case ChatCreated(kind_of_chat, title, opened, _, member_ids):
            return ChatCreatedShape(kind_of_chat, title, opened, member_ids)
        case ChatRetitled(title):
            return ChatRetitledShape(title)
        case ChatOpened(opened):
            return ChatOpenedShape(opened)
        case MemberJoined(user_id) | MemberAdded(user_id) | MemberRemoved(user_id):
            return MemberChangedShape(user_id)
        case MemberLeft(user_id):
            return MemberChangedShape(user_id)
        case RoleChanged(user_id, role):
            return RoleChangedShape(user_id, role)
        case MessageDelivered() | MessageRead():
            raise ValueError("receipts carry no seq, so no timeline shows them")
        case _:
            assert_never(data)


def entry_shape(entry: Entry, data: EventData, text: str | None, file: FileInfo | None = None) -> EntryShape:
    """A numbered event; `text` and `file` as in `data_shape`."""
    event = EventShape(entry.type, entry.actor_id, rfc3339(entry.at_us), data_shape(data, text, file))
    return EntryShape(entry.chat_id, entry.seq, entry.n if entry.type == "message.sent" else None, event)


def message_shape(entry: Entry, text: str | None, status: Status | None, file: FileInfo | None = None) -> MessageShape:
    """A message; `text` None where it was erased. The entry must be a `message.sent`."""
    data = data_of(entry)
    if not isinstance(data, MessageSent):
        raise TypeError(f"{entry.type} is no message")
    return MessageShape(
        seq=entry.seq,
        n=entry.n,
        message_id=data.message_id,
        chat_id=entry.chat_id,
        sender_id=entry.actor_id,
        kind=data.kind,
        text=text,
        sent_at=rfc3339(entry.at_us),
        status=status,
        file=UNSET if file is None else file_shape(file),
        reply_to_message=UNSET if data.reply_to_message is None else data.reply_to_message,
        erased=UNSET if text is not None else True,
    )
