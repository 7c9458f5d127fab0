"""Whose presence somebody may see: that of people with whom they share a chat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Protocol

from commands.errors import Unavailable
from events.ids import direct_chat_id, is_uuid7

AT_ONCE = 20
MAX_GROUPS = 200
"""In more of one's own it is cheaper to ask for the others' chats."""

log = logging.getLogger(__name__)


class Memberships(Protocol):
    async def chats_of(self, user_id: str) -> list[str]:
        """Ids of the chats that the user is in now, in no order. Raises Unavailable."""


class Groups(Protocol):
    async def members_among(self, chat_ids: Collection[str], user_ids: Collection[str]) -> set[str]:
        """Those of the users who are in at least one of the chats. Raises Unavailable."""


class Acquaintance:
    """Answers from `locally` where it can: the chats of a user who is connected here, else None. Then from `groups`,
    where members of groups are at hand; else from everybody's list of chats."""

    def __init__(
        self,
        views: Memberships,
        locally: Callable[[str], Collection[str] | None] = lambda user_id: None,
        groups: Groups | None = None,
    ) -> None:
        self._views = views
        self.locally = locally
        self._groups = groups

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
        if mine and unclear and self._groups is not None:
            # Direct chats, whose ids are derived, have been looked at.
            groups = [chat_id for chat_id in mine if is_uuid7(chat_id)]
            if len(groups) <= MAX_GROUPS:
                try:
                    return shared | await self._groups.members_among(groups, unclear)
                except Unavailable:
                    log.info("members of groups are not at hand: asking for everybody's chats")
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
