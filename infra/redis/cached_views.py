"""Views whose most asked page comes from Redis. While Redis is away everything comes from the views."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from commands.chat import Chat, Member
from commands.errors import Unavailable
from infra.redis.newest import NewestMessages
from projections.ports import ChatViews, Entry, FileUse, FirstUse, Page, Place, Refused, Summary

log = logging.getLogger(__name__)


class CachedViews:
    """`ChatViews` over others."""

    def __init__(self, views: ChatViews, newest: NewestMessages) -> None:
        self._views = views
        self._newest = newest
        self.hits = 0
        self.misses = 0

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        if not messages_only:
            return await self._views.entries_before(chat_id, seq, limit)
        try:
            kept = await self._newest.page(chat_id, seq, limit)
        except Unavailable:
            return await self._views.entries_before(chat_id, seq, limit, messages_only=True)
        if kept is not None:
            self.hits += 1
            return kept
        self.misses += 1
        page = await self._views.entries_before(chat_id, seq, limit, messages_only=True)
        if page.entries and page.entries[-1].seq == seq - 1:
            try:
                await self._newest.fill(chat_id, page.entries)
            except Unavailable as error:
                log.info("a page was not kept: %s", error)
        return page

    async def chat(self, chat_id: str) -> Chat | None:
        return await self._views.chat(chat_id)

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        return await self._views.chats(chat_ids)

    async def chats_of(self, user_id: str) -> list[str]:
        return await self._views.chats_of(user_id)

    async def newest_of(self, user_id: str, after: Place | None, limit: int) -> list[Place]:
        return await self._views.newest_of(user_id, after, limit)

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        return await self._views.summaries(user_id, chat_ids)

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        return await self._views.unread_of(user_ids)

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        return await self._views.members(chat_id, after, limit)

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await self._views.entries_after(chat_id, seq, limit, messages_only)

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        return await self._views.entries_at(keys)

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        return await self._views.first_use(chat_id, message_id)

    async def file_uses(self, file_id: str, after: str, limit: int) -> list[FileUse]:
        return await self._views.file_uses(file_id, after, limit)

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None:
        return await self._views.refused_at(chat_id, offset)

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        return await self._views.seq_before(chat_id, at_us)
