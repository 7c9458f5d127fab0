"""A chat and a list of chats as they were, in the shapes of today: for operators, or as one member saw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from api.bodies import Opened
from api.http.chat_shapes import InboxItemShape
from api.render import MAX_MEMBERS_SHOWN, chat_shape, file_shape, message_shape, rfc3339
from api.shapes import ChatShape, MemberShape, MessageShape, OwnShape, Shape
from commands.chat import Chat, Member
from commands.errors import NoSuchChat
from commands.graphemes import cut
from events.types import History, Kind
from projections.inbox import inbox
from projections.ports import ChatViews, Entry
from projections.receipts import Mark, receipts, status

LAST_MESSAGE_CHARACTERS = 200


class PastChatShape(Shape, frozen=True):
    """A chat as `ChatShape` has it; `me` is null where nobody in particular looks."""

    chat_id: str
    kind: Kind
    title: str | None
    open: bool
    history: History
    created_at: str
    created_by: str
    member_count: int
    me: OwnShape | None
    head_seq: int
    members: list[MemberShape] | UnsetType = UNSET


class PastAnswer(Shape, frozen=True):
    """A chat as of some records: `as_of` names the last of its partition. Messages oldest first; `has_more`: older
    ones are left out. `unread`: user → messages."""

    as_of: str | None
    head_seq: int
    chat: PastChatShape
    messages: list[MessageShape]
    has_more: bool
    receipts: list[Mark]
    unread: dict[str, int]


class PastInboxAnswer(Shape, frozen=True):
    items: list[InboxItemShape]


class Past:
    """Views of another time, read for `viewer`, one of the members, or for nobody in particular (None)."""

    def __init__(self, views: ChatViews, viewer: str | None = None) -> None:
        self._views = views
        self._viewer = viewer

    async def chat(self, chat_id: str) -> Chat:
        """Raises NoSuchChat where there was none yet, or none for the viewer."""
        chat = await self._views.chat(chat_id)
        if chat is None or not chat.exists:
            raise NoSuchChat("there was no such chat then")
        if self._viewer is not None and self._viewer not in chat.members:
            raise NoSuchChat(f"user {self._viewer} was not in this chat then")
        return chat

    async def messages(self, chat: Chat, before_seq: int, limit: int | None) -> tuple[list[Entry], bool]:
        """The newest `limit` below `before_seq`, oldest first, and whether there are older ones; None: all."""
        first = 1 if self._viewer is None else chat.members[self._viewer].visible_from
        found: list[Entry] = []
        while limit is None or len(found) < limit:
            wanted = 1_000 if limit is None else limit - len(found)
            page = await self._views.entries_before(chat.chat_id, before_seq, wanted, messages_only=True)
            visible = [entry for entry in page.entries if entry.seq >= first]
            found[:0] = visible
            if not page.has_more or len(visible) < len(page.entries):
                return found, False
            before_seq = page.entries[0].seq
        older = await self._views.entries_before(chat.chat_id, before_seq, 1, messages_only=True)
        return found, any(entry.seq >= first for entry in older.entries)

    def answer(
        self, chat: Chat, as_of: str | None, entries: Sequence[Entry], bodies: Sequence[Opened], has_more: bool
    ) -> PastAnswer:
        """`bodies`: of the messages in `entries`."""
        own = None if self._viewer is None else chat.members[self._viewer]
        others = (0, 0) if own is None else chat.others_marks(own.user_id)
        messages = [
            message_shape(
                entry, text, status(entry.seq, *others) if own and entry.actor_id == own.user_id else None, file
            )
            for entry, (_, text, file) in zip(entries, bodies, strict=True)
        ]
        marks = (
            receipts(chat, own.user_id)
            if own is not None
            else [Mark(each.user_id, each.delivered_seq, each.read_seq) for each in _by_id(chat)]
        )
        seen = _by_id(chat) if own is None else [own]
        return PastAnswer(
            as_of,
            chat.seq,
            _chat_shape(chat, own),
            messages,
            has_more,
            marks,
            {each.user_id: max(0, chat.n - each.read_n) for each in seen},
        )

    async def inbox(self, limit: int) -> tuple[list[InboxItemShape], list[Entry]]:
        """The viewer's list, and the last messages of those that have one, in the same order, still sealed."""
        assert self._viewer is not None, "a list of chats is somebody's"
        page = await inbox(self._views, self._viewer, None, limit)
        items, last = [], []
        for item in page.items:
            summary = item.summary
            listed = await self._views.members(summary.chat.chat_id, "", MAX_MEMBERS_SHOWN)
            shape: ChatShape = chat_shape(summary.chat, summary.own, None, summary.member_count, listed)
            others = (summary.others_delivered, summary.others_read)
            entry = item.last_message
            message = None
            if entry is not None:
                last.append(entry)
                own = status(entry.seq, *others) if entry.actor_id == self._viewer else None
                message = message_shape(entry, "", own)
            items.append(
                InboxItemShape(
                    chat=shape,
                    head_seq=summary.chat.seq,
                    unread=item.unread,
                    read_seq=summary.own.read_seq,
                    others_delivered_seq=item.others_delivered_seq,
                    others_read_seq=item.others_read_seq,
                    last_message=message,
                    activity_at=rfc3339(summary.chat.at_us),
                )
            )
        return items, last


def with_bodies(items: Sequence[InboxItemShape], bodies: Sequence[Opened]) -> list[InboxItemShape]:
    """The same list with what its last messages say, texts cut as lists cut them."""
    each, found = iter(bodies), []
    for item in items:
        if item.last_message is not None:
            _, text, file = next(each)
            message = msgspec.structs.replace(
                item.last_message,
                text=None if text is None else cut(text, LAST_MESSAGE_CHARACTERS),
                file=UNSET if file is None else file_shape(file),
                erased=UNSET if text is not None else True,
            )
            item = msgspec.structs.replace(item, last_message=message)
        found.append(item)
    return found


def _by_id(chat: Chat) -> list[Member]:
    return sorted(chat.members.values(), key=lambda member: member.user_id)


def _chat_shape(chat: Chat, own: Member | None) -> PastChatShape:
    few = len(chat.members) <= MAX_MEMBERS_SHOWN
    return PastChatShape(
        chat_id=chat.chat_id,
        kind="direct" if chat.kind == "direct" else "group",
        title=chat.title,
        open=chat.open,
        history=chat.history,
        created_at=rfc3339(chat.created_us),
        created_by=chat.created_by,
        member_count=len(chat.members),
        me=None if own is None else OwnShape(own.role, own.joined_seq, None),
        head_seq=chat.seq,
        members=[MemberShape(each.user_id, each.role, each.joined_seq) for each in _by_id(chat)] if few else UNSET,
    )


class TimeMachine(Protocol):
    """Where views of another time come from."""

    async def views_of(self, chat_id: str, place: str) -> ChatViews:
        """One chat as of a place in the log. Raises BadPlace, Unavailable."""

    async def note(self, who: str, what: str) -> None:
        """Note durably that somebody opens bodies. Raises Unavailable."""
