"""Pages of a chat's timeline, across its buckets and never beyond the head.

Rows are written before the head that counts them. What lies above the head is not decided yet and may have holes,
so it is not shown: the head is read first, unless an earlier reading of it suffices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.cassandra.keyspace import Keyspace
from infra.cassandra.tables import BUCKET, bucket_of
from projections.ports import Entry, Page

_PAGE_BYTES = 1024 * 1024
_STEP = 64
"""Entries read at once: 6 MiB of the longest messages."""
_KEPT = 100_000


class Heads:
    """The last seq of chats as last read: a lower bound, for heads never go back."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._known: dict[str, int] = {}

    def known(self, chat_id: str) -> int:
        return self._known.get(chat_id, 0)

    def note(self, seqs: Mapping[str, int]) -> None:
        if len(self._known) + len(seqs) > _KEPT:
            for old in list(self._known)[: max(len(seqs), _KEPT // 10)]:
                del self._known[old]
        for chat_id, seq in seqs.items():
            if seq > self._known.get(chat_id, 0):
                self._known[chat_id] = seq

    async def read(self, chat_id: str) -> int:
        """The last seq now, 0 where there is no chat. Raises Unavailable."""
        rows = await self._keyspace.read_one(self._keyspace.reads.last_seq, chat_id)
        last = int(rows[0][0]) if rows else 0
        self.note({chat_id: last})
        return last


@dataclass(slots=True)
class _Collected:
    limit: int
    entries: list[Entry] = field(default_factory=list)
    size: int = 0
    is_full: bool = False
    """There is more than the page takes."""

    def take(self, entry: Entry) -> None:
        if (
            self.is_full
            or len(self.entries) == self.limit
            or (self.entries and self.size + len(entry.raw) > _PAGE_BYTES)
        ):
            self.is_full = True
        else:
            self.entries.append(entry)
            self.size += len(entry.raw)


class Timeline:
    """Reads pages. Bounds and limits are those of ChatViews. Raises Unavailable."""

    def __init__(self, keyspace: Keyspace, heads: Heads) -> None:
        self._keyspace = keyspace
        self._heads = heads

    async def after(self, chat_id: str, seq: int, limit: int, messages_only: bool) -> Page:
        low = max(seq, 0) + 1
        high = self._heads.known(chat_id)
        if messages_only or high < low + limit:  # the page may reach the head
            high = await self._heads.read(chat_id)
        page = _Collected(limit)
        for bucket in range(bucket_of(low), bucket_of(high) + 1):
            await self._collect(page, chat_id, bucket, low, high, messages_only, up=True)
            if page.is_full:
                break
        return Page(page.entries, page.is_full)

    async def before(self, chat_id: str, seq: int, limit: int, messages_only: bool) -> Page:
        high = seq - 1
        if high > self._heads.known(chat_id):
            high = min(high, await self._heads.read(chat_id))
        page = _Collected(limit)
        for bucket in range(bucket_of(high), -1, -1):
            await self._collect(page, chat_id, bucket, 1, high, messages_only, up=False)
            if page.is_full:
                break
        return Page(page.entries[::-1], page.is_full)

    async def _collect(
        self, page: _Collected, chat_id: str, bucket: int, low: int, high: int, messages_only: bool, *, up: bool
    ) -> None:
        """Add the entries of one bucket, from `low` to `high` or the other way round, until the page is full."""
        reads = self._keyspace.reads
        if messages_only:
            statement = reads.messages_up if up else reads.messages_down
        else:
            statement = reads.entries_up if up else reads.entries_down
        low = max(low, bucket * BUCKET)
        high = min(high, bucket * BUCKET + BUCKET - 1)
        while low <= high and not page.is_full:
            asked = min(_STEP, page.limit - len(page.entries) + 1)
            rows = await self._keyspace.read_one(statement, chat_id, bucket, low, high, asked)
            for row in rows:
                page.take(Entry(chat_id, *row))
            if len(rows) < asked:
                return
            low, high = (rows[-1][0] + 1, high) if up else (low, rows[-1][0] - 1)
