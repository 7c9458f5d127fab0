"""A user's list of chats, newest activity first. Derived from heads and marks: nothing is kept per message."""

from __future__ import annotations

from dataclasses import dataclass

from commands.errors import NoSuchChat
from projections.ports import ChatViews, Entry, Place, Summary
from projections.receipts import shown


@dataclass(frozen=True, slots=True)
class InboxItem:
    summary: Summary
    unread: int
    """Messages that others, or oneself, sent after one's own read mark."""
    others_delivered_seq: int
    others_read_seq: int
    last_message: Entry | None
    """The newest message that this member may see."""


@dataclass(frozen=True, slots=True)
class InboxPage:
    items: list[InboxItem]
    next_place: Place | None
    """The place of the last item where the list goes on."""


def place(summary: Summary) -> Place:
    return summary.chat.at_us, summary.chat.chat_id


def unread(summary: Summary) -> int:
    """A subtraction, never a counter: it cannot drift."""
    return max(0, summary.chat.n - summary.own.read_n)


async def inbox(views: ChatViews, user_id: str, after: Place | None, limit: int) -> InboxPage:
    """The `limit` chats that follow the place `after`. Chats that move up meanwhile are not seen twice."""
    places = await views.newest_of(user_id, after, limit + 1)
    shown_places = places[:limit]
    found = {each.chat.chat_id: each for each in await views.summaries(user_id, [chat for _, chat in shown_places])}
    # Who has left a chat in this very moment sees it no more.
    page = [found[chat_id] for _, chat_id in shown_places if chat_id in found]
    wanted = [
        (summary.chat.chat_id, summary.chat.last_message_seq)
        for summary in page
        if summary.chat.last_message_seq >= summary.own.visible_from
    ]
    last = {entry.chat_id: entry for entry in await views.entries_at(wanted)} if wanted else {}
    items = [
        InboxItem(
            summary,
            unread(summary),
            shown(summary.others_delivered, summary.own.visible_from),
            shown(summary.others_read, summary.own.visible_from),
            last.get(summary.chat.chat_id),
        )
        for summary in page
    ]
    # The place that it had when the list was read: nothing is left out, whatever moves up meanwhile.
    return InboxPage(items, shown_places[-1] if len(places) > limit else None)


async def own_chat(views: ChatViews, user_id: str, chat_id: str) -> Summary:
    """The chat as this member sees it. Raises NoSuchChat for everybody else: existence is not told."""
    found = await views.summaries(user_id, (chat_id,))
    if not found:
        raise NoSuchChat("you are in no chat with this id")
    return found[0]
