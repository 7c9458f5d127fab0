"""The chat views of one generation as their fold writes them.

Steps, each acknowledged by a quorum, and on the disk, before the next: rows, heads with members, what is parked no
more, position (which may come some moments later, see `group`). A crash between them repeats work and changes nothing.
Every write says itself when it happened, by the offset of the record that it comes from, so a paused fold that wakes up
and writes late loses against what is there: no lock, no fence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from commands.chat import Chat
from infra.cassandra.group import GroupWriter
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.queries import CassandraChatViews, first_uses
from infra.cassandra.serialise import REVISIONS, Serialiser
from infra.cassandra.tables import PROJECTION, bucket_of, id_of
from projections.inspection import Extra
from projections.ports import Changes, FirstUse, LogMismatch


class CassandraFoldStore(CassandraChatViews):
    """FoldStore on one keyspace, and ChatViews beside it. Usable by a tool beside the fold."""

    revisions: Sequence[int] = tuple(2**power for power in range(REVISIONS.bit_length() - 1))
    revives = True

    def __init__(
        self,
        keyspace: Keyspace,
        incarnation: str,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        *,
        position_delay_s: float = 0.0,
        dropped: Callable[[Collection[int]], None] | None = None,
    ) -> None:
        """Views of the log `incarnation`; `ends` asks that log for partition → the offset after its last record.

        `dropped` is told the partitions whose position, being delayed, did not get into the views.
        """
        super().__init__(keyspace)
        self._incarnation = incarnation
        self._ends = ends
        self._serialiser = Serialiser(keyspace.writes, incarnation)
        self._writer = GroupWriter(keyspace.write, keyspace.on_disk, self._serialiser, position_delay_s, dropped)

    async def positions(self) -> dict[int, int]:
        await self._writer.settle()
        rows = await self._keyspace.read_one(self._reads.positions, PROJECTION)
        # The log's end is asked after the views: it may only have grown meanwhile.
        ends = await self._ends()
        for partition, offset, incarnation in rows:
            if incarnation != self._incarnation:
                raise LogMismatch(
                    f"{self._keyspace.name} was folded from the log {incarnation}, not {self._incarnation}"
                )
            if offset > ends.get(partition, 0):
                raise LogMismatch(
                    f"{self._keyspace.name} stands at {partition}:{offset}, beyond the log's end at "
                    f"{ends.get(partition, 0)}: was the log restored from an older copy?"
                )
        return {partition: offset for partition, offset, _ in rows}

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        return await self.chats(chat_ids)

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        """Head and members are written again as they were read, so that a quorum has them. Of the members those alone
        that records from `since` on have touched: the others were in before."""
        found: dict[str, Chat] = {}
        again = Changes(0, 0)
        for chat_id in chat_ids:
            there = await self.whole(chat_id)
            if there is not None:
                found[chat_id] = again.heads[chat_id] = there.chat
                again.members |= {(chat_id, row.member.user_id): row for row in there.rows if row.offset >= since}
        await self._keyspace.write(self._serialiser.heads(again))
        return found

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        return await first_uses(self._keyspace, pairs)

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        keys = [(chat_id, bucket_of(seq), seq) for chat_id, seq in pairs]
        found = await self._keyspace.read(self._reads.n, *keys)
        return {pair: rows[0][0] for pair, rows in zip(pairs, found, strict=True) if rows}

    async def parked_chats(self) -> dict[str, int]:
        return {id_of(key): offset for key, offset in await self._keyspace.read_one(self._reads.parked)}

    async def apply(self, changes: Changes) -> None:
        await self._writer.apply(changes)

    async def settle(self) -> None:
        """Return when all that was applied is in the position too, or the store is away."""
        await self._writer.settle()

    async def mend(self, changes: Changes, extra: Extra, revision: int) -> None:
        again = Serialiser(self._keyspace.writes, self._incarnation, revision)
        write = self._keyspace.write
        await write(again.rows(changes))
        await self._keyspace.on_disk()
        await write(again.heads(changes))
        await self._keyspace.on_disk()
        await write(again.removed(changes, extra))
