"""The chat views of one generation as queries read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import Any
from uuid import UUID

from commands.chat import Chat, Member
from events.ids import is_uuid7
from infra.cassandra.chats import load_chats, summaries, whole
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.logical import logical_rows
from infra.cassandra.serialise import composite
from infra.cassandra.tables import PROJECTION, bucket_of, id_of, key_of, week_of
from infra.cassandra.timeline import Heads, Timeline
from infra.cassandra.unread import unread_of
from projections.inspection import Whole
from projections.logical import hash_of
from projections.ports import Entry, FileUse, FirstUse, Membership, Page, Parked, Place, Refused, Summary

_CHATS = 500
_IDS = 100
"""Message ids that one statement asks for."""
_ASKED = 10
"""Chats that one statement asks, each for all of its ids."""


class CassandraChatViews:
    """ChatViews on one keyspace. Usable by several tasks at once."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._reads = keyspace.reads
        self._heads = Heads(keyspace)
        self._timeline = Timeline(keyspace, self._heads)

    async def ping(self) -> None:
        """Return if the views answer. Raises Unavailable."""
        await self._heads.read("nobody's")

    async def reached(self) -> dict[int, int]:
        """Partition → the offset below which the views have every record."""
        rows = await self._keyspace.read_one(self._reads.positions, PROJECTION)
        return {partition: offset for partition, offset, _ in rows}

    async def chat(self, chat_id: str) -> Chat | None:
        return (await self.chats((chat_id,))).get(chat_id)

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        found = await load_chats(self._keyspace, chat_ids)
        self._heads.note({chat_id: chat.seq for chat_id, chat in found.items()})
        return found

    async def chats_of(self, user_id: str) -> list[str]:
        rows = await self._keyspace.read_one(self._reads.chats_of, user_id)
        return [id_of(key) for key, left_seq in rows if left_seq == 0]

    async def newest_of(self, user_id: str, after: Place | None, limit: int) -> list[Place]:
        """Reads one small row a chat: the place is a part of the head, and no list is kept in order of activity, for
        then each message would be written to one of every member."""
        rows = await self._keyspace.read_in(self._reads.activities, await self.chats_of(user_id))
        places = ((at_us, id_of(key)) for key, at_us in rows)
        return nlargest(limit, (each for each in places if after is None or each < after))

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        found = await summaries(self._keyspace, user_id, chat_ids)
        self._heads.note({summary.chat.chat_id: summary.chat.seq for summary in found})
        return found

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        return await unread_of(self._keyspace, user_ids)

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        return [Member(*row) for row in await self._keyspace.read_one(self._reads.members, chat_id, after, limit)]

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await self._timeline.after(chat_id, seq, limit, messages_only)

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return await self._timeline.before(chat_id, seq, limit, messages_only)

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        places = [(chat_id, bucket_of(seq), seq) for chat_id, seq in dict.fromkeys(keys) if 0 < seq < 2**31]
        found = await self._keyspace.read(self._reads.entry, *places)
        return [Entry(place[0], *row) for place, rows in zip(places, found, strict=True) for row in rows]

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        """Absent until the head counts the message: before that nothing is decided."""
        use = (await first_uses(self._keyspace, [(chat_id, message_id)])).get((chat_id, message_id))
        if use is not None and use.seq > self._heads.known(chat_id) and use.seq > await self._heads.read(chat_id):
            return None
        return use

    async def file_uses(self, file_id: str, after: str, limit: int) -> list[FileUse]:
        rows = await self._keyspace.read_one(self._reads.files, key_of(file_id), after, limit)
        return [FileUse(id_of(row[0]), id_of(row[1]), *row[2:]) for row in rows]

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None:
        rows = await self._keyspace.read_one(self._reads.refused, chat_id, offset)
        return Refused(chat_id, *rows[0]) if rows else None

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        """By binary search: time does not decrease with seq."""
        low, high = 0, await self._heads.read(chat_id)
        while low < high:
            middle = (low + high + 1) // 2
            rows = await self._keyspace.read_one(self._reads.at, chat_id, bucket_of(middle), middle)
            low, high = (middle, high) if rows[0][0] < at_us else (low, middle - 1)
        return low

    async def chat_ids(self) -> AsyncIterator[list[str]]:
        """In the ring's order."""
        found = self._keyspace.read_now(f"SELECT DISTINCT chat_id FROM {self._keyspace.name}.chats")
        # Fetching a page blocks.
        while page := await asyncio.to_thread(lambda: list(islice(found, _CHATS))):
            yield [id_of(row[0]) for row in page]

    async def whole(self, chat_id: str) -> Whole | None:
        return await whole(self._keyspace, chat_id)

    async def uses_of(self, chat_id: str, message_ids: Collection[str]) -> dict[str, FirstUse]:
        by_week: dict[int, list[UUID]] = {}
        for message_id in message_ids:
            if is_uuid7(message_id):
                by_week.setdefault(week_of(message_id), []).append(UUID(message_id))
        keys = [
            (chat_id, week, ids[start : start + _IDS])
            for week, ids in by_week.items()
            for start in range(0, len(ids), _IDS)
        ]
        found = await self._keyspace.read(self._reads.uses, *keys)
        return {str(row[0]): FirstUse(chat_id, str(row[0]), *row[1:]) for rows in found for row in rows}

    async def listed(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Membership]:
        rows = await self._keyspace.read_in(self._reads.listed, dict.fromkeys(user_ids), key_of(chat_id))
        return {
            id_of(key): Membership(id_of(key), chat_id, joined_seq, left_seq or None, offset)
            for key, joined_seq, left_seq, offset in rows
        }

    async def files_of(self, chat_id: str, file_ids: Collection[str]) -> dict[str, FileUse]:
        found = await self._keyspace.read(self._reads.file_in, *((file_id, key_of(chat_id)) for file_id in file_ids))
        return {id_of(row[0]): FileUse(id_of(row[0]), chat_id, *row[1:]) for rows in found for row in rows}

    async def parked_of(self, chat_id: str) -> list[Parked]:
        rows = await self._keyspace.read_one(self._reads.parked_of, chat_id)
        return [Parked(chat_id, *row) for row in rows]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All logical rows, as `projections/logical.py` says. Blocks; not one moment: nobody may fold meanwhile."""
        return logical_rows(self._keyspace)

    def hash(self) -> str:
        """SHA-256 over all logical rows."""
        return hash_of(self.rows())


async def first_uses(keyspace: Keyspace, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
    """(chat, message id) → its first use, where there is one. Raises Unavailable.

    Some chats are asked about in one read, each about the ids of all of them: for ten chats that is a tenth of the
    reads, and ids that are not there cost little.
    """
    wanted: dict[tuple[int, int], dict[str, list[UUID]]] = {}
    for chat_id, message_id in pairs:
        if is_uuid7(message_id):
            week = week_of(message_id)
            replicas = await keyspace.set_of(composite(chat_id, week))
            wanted.setdefault((replicas, week), {}).setdefault(key_of(chat_id), []).append(UUID(message_id))
    reads = []
    for (_, week), by_chat in wanted.items():
        for some in _chunks(by_chat):
            ids = [each for chat in some for each in by_chat[chat]]
            reads += [
                (composite(id_of(some[0]), week), (some, week, ids[start : start + _IDS]))
                for start in range(0, len(ids), _IDS)
            ]
    rows = await keyspace.read_routed(keyspace.reads.uses_in, reads) if reads else []
    found = {(id_of(row[0]), str(row[1])): FirstUse(id_of(row[0]), str(row[1]), *row[2:]) for row in rows}
    return {pair: found[pair] for pair in pairs if pair in found}


def _chunks(by_chat: Mapping[str, Sequence[UUID]]) -> Iterator[list[str]]:
    """Chats by tens; fewer where they have many ids, as each is asked about all of them."""
    chunk: list[str] = []
    ids = 0
    for chat, own in by_chat.items():
        if chunk and (len(chunk) == _ASKED or ids + len(own) > _IDS):
            yield chunk
            chunk, ids = [], 0
        chunk.append(chat)
        ids += len(own)
    if chunk:
        yield chunk
