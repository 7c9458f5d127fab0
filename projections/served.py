"""The generation of the views that readers use now, exchanged at once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from commands.chat import Chat, Member
from projections.ports import ChatViews, Entry, FileUse, FirstUse, Page, Place, Refused, Summary


class Pingable(ChatViews, Protocol):
    async def ping(self) -> None:
        """Return if the views answer. Raises Unavailable."""


class ServedViews:
    """ChatViews that are those of one generation. Whoever sets `current` sees to it that the new one is not behind
    what the old one had shown."""

    def __init__(self, views: Pingable) -> None:
        self.current = views

    async def now(self) -> Pingable:
        """The views that are served. May raise Unavailable."""
        return self.current

    async def ping(self) -> None:
        await (await self.now()).ping()

    async def chat(self, chat_id: str) -> Chat | None:
        return await (await self.now()).chat(chat_id)

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        return await (await self.now()).chats(chat_ids)

    async def chats_of(self, user_id: str) -> list[str]:
        return await (await self.now()).chats_of(user_id)

    async def newest_of(self, user_id: str, after: Place | None, limit: int) -> list[Place]:
        return await (await self.now()).newest_of(user_id, after, limit)

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        return await (await self.now()).summaries(user_id, chat_ids)

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        return await (await self.now()).unread_of(user_ids)

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        return await (await self.now()).members(chat_id, after, limit)

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await (await self.now()).entries_after(chat_id, seq, limit, messages_only)

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await (await self.now()).entries_before(chat_id, seq, limit, messages_only)

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        return await (await self.now()).entries_at(keys)

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        return await (await self.now()).first_use(chat_id, message_id)

    async def file_uses(self, file_id: str, after: str, limit: int) -> list[FileUse]:
        return await (await self.now()).file_uses(file_id, after, limit)

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None:
        return await (await self.now()).refused_at(chat_id, offset)

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        return await (await self.now()).seq_before(chat_id, at_us)
