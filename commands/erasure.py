"""Leaving every chat, the first step of erasing a user: the log then says why the member is gone."""

from __future__ import annotations

import asyncio
from typing import Protocol

from commands.decide import EraseUser
from commands.errors import NotYet
from commands.handlers import WAIT_S, Commands
from commands.ports import EventLog, Progress

AT_ONCE = 100
ROUNDS = 5


class Memberships(Protocol):
    async def chats_of(self, user_id: str) -> list[str]:
        """Ids of the chats that the user is in now, in no order."""


class Departure:
    """Takes users out of all their chats. Safe to repeat: who has left a chat leaves it no second time."""

    def __init__(self, commands: Commands, log: EventLog, progress: Progress, memberships: Memberships) -> None:
        self._commands = commands
        self._log = log
        self._progress = progress
        self._memberships = memberships

    async def leave_all_chats(self, user_id: str) -> None:
        """Return once the views show the user in no chat.

        The caller must first see to it that nobody can add the user any more. Raises Unavailable, or NotYet
        when the fold does not follow in time: repeat.
        """
        for _ in range(ROUNDS):
            failed: list[BaseException] = []
            if not await self._progress.reach(await self._log.end(), WAIT_S):
                break
            chats = await self._memberships.chats_of(user_id)
            if not chats:
                return
            for start in range(0, len(chats), AT_ONCE):
                leaving = (
                    self._commands.submit(EraseUser(user_id), chat_id) for chat_id in chats[start : start + AT_ONCE]
                )
                outcomes = await asyncio.gather(*leaving, return_exceptions=True)
                failed += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            if failed:  # only now: a chat that cannot be left keeps nobody in the others
                raise failed[0]
        raise NotYet("leaving all chats is still under way")
