"""Who is in which group, in sets that answer for many users at once.

A set carries the offset up to which it is true. It is dropped when the fold changes its chat's membership, and can
then only be filled from a later state. What that cannot mend, a worker that dies before it has dropped a set, ends
with the set's life. So nothing that must be right at once is decided by it: it tells whose presence somebody sees.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Protocol

from commands.chat import Chat
from commands.errors import Unavailable
from commands.isolation import left_out
from infra.redis.connection import Connection, Script
from projections.ports import Changes

LIFE_S = 300
LOADS_AT_ONCE = 20
RETRY_S = 0.5
MENDED_S = 60
"""So long after a chat was mended no set of it is filled: longer than any read of the views takes."""
_BEYOND = 2**53
"""No set is true up to there."""
MAX_STALE = 100_000

FILL = Script(
    """
-- ARGV: offset, life in s, members.
if tonumber(redis.call('GET', KEYS[2]) or -1) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
for index = 3, #ARGV, 1000 do
    redis.call('SADD', KEYS[1], unpack(ARGV, index, math.min(index + 999, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return 1
"""
)
"""Set the members as of an offset, unless they are known to have changed since. KEYS: set, its offset."""
DROP = Script(
    """
-- ARGV: offset, life in s.
if tonumber(redis.call('GET', KEYS[2]) or -1) >= tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return 1
"""
)
"""The members changed at an offset. KEYS: set, its offset."""
SCRIPTS = (FILL, DROP)

log = logging.getLogger(__name__)


class Chats(Protocol):
    async def chat(self, chat_id: str) -> Chat | None:
        """Head and current members. Raises Unavailable."""


class _Sets:
    def __init__(self, connection: Connection, namespace: str) -> None:
        self._redis = connection
        self._prefix = f"tidings:{namespace}"

    def _keys(self, chat_id: str) -> tuple[str, str]:
        """The braces keep them together where keys are spread over servers."""
        return f"{self._prefix}:members:{{{chat_id}}}", f"{self._prefix}:members-at:{{{chat_id}}}"


async def forget(connection: Connection, namespace: str, chat_id: str) -> None:
    """Have the members of a chat asked for anew, also where somebody is about to keep what was read before. Raises
    Unavailable."""
    members, at = _Sets(connection, namespace)._keys(chat_id)
    await connection.run_all([("SET", at, _BEYOND, "EX", MENDED_S), ("DEL", members)])


class MemberSets(_Sets):
    """The reading side; fills sets that are missing. `connection` must have been given SCRIPTS."""

    def __init__(self, connection: Connection, views: Chats, *, namespace: str) -> None:
        super().__init__(connection, namespace)
        self._views = views

    async def members_among(self, chat_ids: Collection[str], user_ids: Collection[str]) -> set[str]:
        """Those of the users who are in at least one of the chats. Raises Unavailable, if Redis is away too."""
        asked, users = list(chat_ids), list(user_ids)
        if not asked or not users:
            return set()
        commands = [
            command
            for chat_id in asked
            for key in self._keys(chat_id)[:1]
            for command in (("SMISMEMBER", key, *users), ("EXISTS", key))
        ]
        answers = await self._redis.run_all(commands)
        found: set[str] = set()
        missing: list[str] = []
        for chat_id, inside, exists in zip(asked, answers[::2], answers[1::2], strict=True):
            if exists:
                found.update(user_id for user_id, is_inside in zip(users, inside, strict=True) if is_inside)
            else:
                missing.append(chat_id)
        for start in range(0, len(missing), LOADS_AT_ONCE):
            some = missing[start : start + LOADS_AT_ONCE]
            for members in await asyncio.gather(*map(self._load, some)):
                found.update(members.intersection(users))
        return found

    async def _load(self, chat_id: str) -> set[str]:
        chat = await self._views.chat(chat_id)
        if chat is None or not chat.members:
            return set()
        await self._redis.run(*FILL.on(self._keys(chat_id), chat.offset, LIFE_S, *chat.members))
        return set(chat.members)


class MemberSetKeeper(_Sets):
    """The side of the fold: drops the sets of chats whose members changed, however often Redis must be told."""

    def __init__(self, connection: Connection, *, namespace: str) -> None:
        super().__init__(connection, namespace)
        self._stale: dict[str, int] = {}
        self._news = asyncio.Event()

    def note(self, changes: Changes) -> None:
        """The views have these changes."""
        for row in changes.memberships.values():
            self._stale[row.chat_id] = max(row.offset, self._stale.get(row.chat_id, -1))
        if len(self._stale) > MAX_STALE:
            log.error("Redis is away for so long that %d sets of members are left to run out", len(self._stale))
            self._stale.clear()
        if self._stale:
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            told = dict(self._stale)
            try:
                await self._redis.run_all(
                    [DROP.on(self._keys(chat_id), offset, LIFE_S) for chat_id, offset in told.items()]
                )
            except Unavailable:
                self._news.set()
                await asyncio.sleep(RETRY_S)
                continue
            except Exception:  # one set that cannot be dropped runs out; the others have been told
                left_out("dropping the members of a group")
            for chat_id, offset in told.items():
                if self._stale.get(chat_id) == offset:
                    del self._stale[chat_id]
