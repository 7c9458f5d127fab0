"""Whose presence somebody may see: that of people with whom they share a chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from events.ids import direct_chat_id

AT_ONCE = 20


class Memberships(Protocol):
    async def chats_of(self, user_id: str) -> list[str]:
        """Ids of the chats that the user is in now, in no order. Raises Unavailable."""


class Acquaintance:
    """Answers from `locally` where it can: the chats of a user who is connected here, else None."""

    def __init__(
        self, views: Memberships, locally: Callable[[str], Collection[str] | None] = lambda user_id: None
    ) -> None:
        self._views = views
        self.locally = locally

    async def of(self, caller_id: str, user_ids: Collection[str]) -> set[str]:
        """Those of `user_ids` who share a chat with the caller, the caller included. Raises Unavailable."""
        mine = frozenset(await self._chats_of(caller_id))
        shared: set[str] = set()
        unclear: list[str] = []
        for user_id in set(user_ids):
            if user_id == caller_id or direct_chat_id(caller_id, user_id) in mine:
                shared.add(user_id)
                continue
            theirs = self.locally(user_id)
            if theirs is None:
                unclear.append(user_id)
            elif not mine.isdisjoint(theirs):
                shared.add(user_id)
        if mine:
            for start in range(0, len(unclear), AT_ONCE):
                some = unclear[start : start + AT_ONCE]
                chats = await asyncio.gather(*map(self._views.chats_of, some))
                shared.update(
                    user_id for user_id, theirs in zip(some, chats, strict=True) if not mine.isdisjoint(theirs)
                )
        return shared

    async def _chats_of(self, user_id: str) -> Collection[str]:
        chats = self.locally(user_id)
        return chats if chats is not None else await self._views.chats_of(user_id)
