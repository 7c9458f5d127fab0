"""Chats, messages and events as one reader sees them: rows from the views, bodies opened here, at the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from api.bodies import Opened, opened, sealed
from api.chat_services import ChatServices
from api.http.models import shown
from api.render import MAX_MEMBERS_SHOWN, chat_shape, entry_shape, message_shape
from api.shapes import ChatShape, EntryShape, MessageShape
from commands.accounts import Accounts
from commands.chat import Member
from commands.graphemes import cut
from projections.ports import Entry, Summary
from projections.receipts import status


async def chat_shapes(
    chats: ChatServices, accounts: Accounts, user_id: str, summaries: Sequence[Summary]
) -> list[ChatShape]:
    """The chats as their member `user_id` sees them, in the order given."""
    mutes = await accounts.mute_until(user_id, [summary.chat.chat_id for summary in summaries])
    members = await asyncio.gather(*(_members(chats, summary) for summary in summaries))
    return [
        chat_shape(summary.chat, summary.own, _shown(mutes.get(summary.chat.chat_id)), summary.member_count, listed)
        for summary, listed in zip(summaries, members, strict=True)
    ]


async def _members(chats: ChatServices, summary: Summary) -> list[Member] | None:
    if summary.member_count > MAX_MEMBERS_SHOWN:
        return None
    return await chats.views.members(summary.chat.chat_id, "", MAX_MEMBERS_SHOWN)


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else shown(moment)


async def message_shapes(
    chats: ChatServices,
    user_id: str,
    entries: Sequence[Entry],
    others: Mapping[str, tuple[int, int]],
    longest: int | None = None,
) -> list[MessageShape]:
    """Messages as `user_id` sees them. `others`: chat → what all its other members have (delivered, read), for the
    status of one's own; `longest`: at how many characters the text ends, or a little before."""
    return [
        message_shape(
            entry,
            text if text is None or longest is None else cut(text, longest),
            status(entry.seq, *others.get(entry.chat_id, (0, 0))) if entry.actor_id == user_id else None,
            file,
        )
        for entry, (_, text, file) in zip(entries, await _opened(chats, entries), strict=True)
    ]


async def entry_shapes(chats: ChatServices, entries: Sequence[Entry]) -> list[EntryShape]:
    """Numbered events of any type."""
    return [entry_shape(entry, *each) for entry, each in zip(entries, await _opened(chats, entries), strict=True)]


async def _opened(chats: ChatServices, entries: Sequence[Entry]) -> list[Opened]:
    """The keys of a page's authors are asked for in one go."""
    return opened(entries, await chats.sealer.opened(sealed(entries)))
