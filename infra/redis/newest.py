"""The newest messages of chats that somebody has looked at lately, so that the page most asked for costs the views
nothing.

An entry never changes once it has its number, so a copy is never wrong: it can only be missing. A page counts if its
first message is the one that the caller knows to be the newest below the bound, and if the messages' ordinals leave
no hole. Bodies are sealed here as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from infra.redis.connection import Connection, Script
from infra.redis.line import Command
from projections.ports import Changes, Entry, Page

KEPT = 100
"""Messages of a chat."""
HOT_S = 600
"""How long a chat is kept after it was last looked at."""
MENDED_S = 60
"""So long after a chat was mended nothing is kept of it: longer than any read of the views takes."""
MAX_ENTRY_BYTES = 16 * 1024
"""Longer ones are not kept, and pages with them come from the views."""
MAX_PAGE_BYTES = 1024 * 1024

APPEND = Script(
    """
-- ARGV: how many to keep, then seq and entry of each.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for index = 2, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[1])
return 1
"""
)
"""Add to a chat that is kept already. KEYS: chat."""
FILL = Script(
    """
-- ARGV: first and last seq, how many to keep, life in s, then seq and entry of each.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2])
for index = 5, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
)
"""Keep what the views gave, unless the chat was mended lately: this may have been read before. KEYS: chat, its mark."""
SCRIPTS = (APPEND, FILL)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class NewestMessages:
    """Raises Unavailable when Redis is away. `connection` must have been given SCRIPTS."""

    def __init__(self, connection: Connection, *, namespace: str) -> None:
        self._redis = connection
        self._prefix = f"tidings:{namespace}:newest"

    async def page(self, chat_id: str, seq: int, limit: int) -> Page | None:
        """The `limit` newest messages below `seq`, oldest first, if all of them are here for certain."""
        key = self._key(chat_id)
        asked: Command = ("ZRANGE", key, f"({seq}", "-inf", "BYSCORE", "REV", "LIMIT", 0, limit)
        values, _ = await self._redis.run_all([asked, ("EXPIRE", key, HOT_S)])
        try:
            return _page([_decode(value) for value in values], seq, limit)
        except msgspec.DecodeError:
            return None  # kept by a version with other fields: filled anew

    async def fill(self, chat_id: str, entries: Sequence[Entry]) -> None:
        """Keep messages that the views gave, without a hole; from now on new ones are added."""
        scored = _scored(entries)
        if scored:
            span = entries[0].seq, entries[-1].seq
            keys = self._key(chat_id), self._mark(chat_id)
            await self._redis.run(*FILL.on(keys, *span, KEPT, HOT_S, *scored))

    async def forget(self, chat_id: str) -> None:
        """Have pages of a chat asked for anew, also where somebody is about to keep what was read before. Raises
        Unavailable."""
        mark: Command = ("SET", self._mark(chat_id), 1, "EX", MENDED_S)
        await self._redis.run_all([mark, ("DEL", self._key(chat_id))])

    def note(self, changes: Changes) -> None:
        """The views have these changes: add the messages where their chat is kept. If Redis is away, so be it."""
        by_chat: dict[str, list[Entry]] = {}
        for entry in changes.entries:
            if entry.type == "message.sent":
                by_chat.setdefault(entry.chat_id, []).append(entry)
        scored = ((chat_id, _scored(some[-KEPT:])) for chat_id, some in by_chat.items())
        self._redis.post([APPEND.on([self._key(chat_id)], KEPT, *parts) for chat_id, parts in scored if parts])

    def _key(self, chat_id: str) -> str:
        """The braces keep it with its mark where keys are spread over servers."""
        return f"{self._prefix}:{{{chat_id}}}"

    def _mark(self, chat_id: str) -> str:
        return f"{self._prefix}-mended:{{{chat_id}}}"


def _scored(entries: Iterable[Entry]) -> list[int | bytes]:
    short = (entry for entry in entries if len(entry.raw) <= MAX_ENTRY_BYTES)
    return [part for entry in short for part in (entry.seq, _encode(entry))]


def _page(found: Sequence[Entry], seq: int, limit: int) -> Page | None:
    """`found` comes newest first."""
    if not found or found[0].seq != seq - 1:
        return None
    if any(newer.n != older.n + 1 for newer, older in pairwise(found)):
        return None
    if len(found) < limit and found[-1].n > 1:
        return None
    size, taken = 0, 0
    for entry in found:
        size += len(entry.raw)
        if taken and size > MAX_PAGE_BYTES:
            break
        taken += 1
    entries = list(reversed(found[:taken]))
    return Page(entries, entries[0].n > 1)
