"""Pages of a chat, as one of its members may see it.

Bounds are exclusive. Nothing below the member's `visible_from` is ever given or counted: a page that reaches
it says that there is no more.
"""

from __future__ import annotations

from commands.errors import NoSuchMessage
from projections.ports import ChatViews, Entry, FirstUse, Page, Summary

END = 2**63 - 1
"""A bound beyond every seq."""


async def newest_messages(views: ChatViews, summary: Summary, before_seq: int, limit: int) -> Page:
    """The `limit` newest messages below `before_seq`, oldest first."""
    chat_id, visible_from = summary.chat.chat_id, summary.own.visible_from
    # Not beyond what the summary knows: so a copy of the newest page can tell whether it is the newest.
    bound = min(before_seq, summary.chat.last_message_seq + 1)
    if bound <= visible_from:
        return Page([], False)
    page = await views.entries_before(chat_id, bound, limit, messages_only=True)
    visible = [entry for entry in page.entries if entry.seq >= visible_from]
    if len(visible) < len(page.entries) or not visible:
        return Page(visible, False)
    if not page.has_more or visible_from <= 1:
        return page
    # Older messages exist, perhaps hidden ones alone: their ordinals tell.
    edge = await views.entries_at([(chat_id, visible_from)])
    hidden = sum(entry.n - (entry.type == "message.sent") for entry in edge)
    return Page(visible, visible[0].n > hidden + 1)


async def messages_after(views: ChatViews, summary: Summary, after_seq: int, limit: int) -> Page:
    """The `limit` oldest messages above `after_seq`."""
    after = max(after_seq, summary.own.visible_from - 1)
    return await views.entries_after(summary.chat.chat_id, after, limit, messages_only=True)


async def events_after(views: ChatViews, summary: Summary, after_seq: int, limit: int) -> Page:
    """The `limit` oldest numbered events of any type above `after_seq`."""
    after = max(after_seq, summary.own.visible_from - 1)
    return await views.entries_after(summary.chat.chat_id, after, limit)


async def bound_before(views: ChatViews, chat_id: str, at_us: int) -> int:
    """The exclusive bound in seq that stands for "earlier than `at_us`" (µs since 1970)."""
    return await views.seq_before(chat_id, at_us) + 1


async def message_at(views: ChatViews, use: FirstUse) -> Entry:
    """The message that a message id became. Raises NoSuchMessage where it became none."""
    found = await views.entries_at([(use.chat_id, use.seq)]) if use.seq else []
    if not found:
        raise NoSuchMessage("this id names no message of the chat")
    return found[0]
