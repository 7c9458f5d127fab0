"""The batch core: records of one partition in, changes to the views out. Embedded runner, Faust worker and
rebuild all drive it.

It keeps hot chats in memory, reads what the fold needs from the views in a few bulk calls per batch, and parks
a chat whose record cannot be folded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from commands.chat import Chat
from events.codec import Decoded, Undecodable, decode
from events.log import Record
from events.types import MessageRead, MessageSent
from projections.fold import Hot, Memory, cold, fold_record
from projections.ports import Changes, FirstUse, FoldStore, Parked

logger = logging.getLogger(__name__)

_Read = tuple[Record, Decoded | Undecodable]


class FoldFailed(Exception):
    """The record at `index` of a batch made the fold raise: a defect, never a store's error."""

    def __init__(self, index: int) -> None:
        super().__init__(f"record {index} of the batch cannot be folded")
        self.index = index


class BatchFold:
    """The fold of one partition of one generation of the views."""

    def __init__(self, store: FoldStore, memory: Memory | None = None) -> None:
        self._store = store
        self._memory = memory or Memory()
        self._hot: dict[str, Hot] = {}
        self._ids = 0
        """Message ids held in all of `_hot`."""
        self._parked: dict[str, int] | None = None

    def forget(self) -> None:
        """Drop everything remembered: on assignment, and whenever a batch was not written for certain."""
        self._hot.clear()
        self._ids = 0
        self._parked = None

    async def fold(self, records: Sequence[Record]) -> Changes:
        """What the views must take in. The caller writes it before it folds on, or calls `forget`.

        May cover only the first records: go on from `next_offset`. Raises Unavailable when the views are away.
        """
        decoded = [(record, _read(record)) for record in records]
        try:
            return await self._fold(decoded)
        except FoldFailed as failure:
            logger.error(
                "record %d:%d cannot be folded",
                records[0].partition,
                records[failure.index].offset,
                exc_info=failure.__cause__,
                extra={
                    "chat_id": records[failure.index].key,
                    "position": f"{records[failure.index].partition}:{records[failure.index].offset}",
                },
            )
            # The batch left half a change in memory. Fold what comes before, then park the record itself.
            self.forget()
            if failure.index:
                return await self._fold(decoded[: failure.index])
            return await self._fold([(records[0], Undecodable(f"the fold failed: {failure.__cause__!r}"))])

    async def _fold(self, batch: Sequence[_Read]) -> Changes:
        if self._parked is None:
            self._parked = await self._store.parked_chats()
        parked = self._parked
        last = batch[-1][0]
        changes = Changes(last.partition, last.offset + 1)
        await self._load({record.key for record, _ in batch})
        uses, ns = await self._look_up(batch)
        for index, (record, read) in enumerate(batch):
            chat_id = record.key
            # A crash may have left the parked row in the views but not yet the head before it.
            since = parked.get(chat_id)
            if isinstance(read, Undecodable) or (since is not None and record.offset >= since):
                reason = str(read) if isinstance(read, Undecodable) else "an earlier event is parked"
                if since is None or record.offset < since:
                    logger.error(
                        "chat %s is parked at %d:%d: %s",
                        chat_id,
                        record.partition,
                        record.offset,
                        reason,
                        extra={"chat_id": chat_id, "position": f"{record.partition}:{record.offset}"},
                    )
                    parked[chat_id] = record.offset
                changes.parked.append(Parked(chat_id, record.partition, record.offset, reason, record.value))
                continue
            try:
                fold_record(changes, self._hot[chat_id], record, read, uses, ns)
            except Exception as error:
                raise FoldFailed(index) from error
        self._ids += len(changes.uses)
        for chat_id in changes.heads:
            self._ids -= self._hot[chat_id].trim(self._memory)
        if self._ids > self._memory.ids:
            self._forget_oldest(keep=set(), chats=len(self._hot), ids=self._memory.ids * 3 // 4)
        return changes

    def _forget_oldest(self, keep: set[str], chats: int, ids: int) -> None:
        """Forget chats, the longest remembered first, until no more than so many, with so many ids, are left.

        A dict keeps insertion order, and a chat in use comes back with its next record.
        """
        for chat_id in list(self._hot):
            if len(self._hot) <= chats and self._ids <= ids:
                return
            if chat_id not in keep:
                self._ids -= len(self._hot.pop(chat_id).recent)

    async def _load(self, chat_ids: set[str]) -> None:
        hot, most = self._hot, self._memory.chats
        missing = [chat_id for chat_id in chat_ids if chat_id not in hot]
        if not missing:
            return
        if len(hot) + len(missing) > most:
            self._forget_oldest(keep=chat_ids, chats=max(0, most * 3 // 4 - len(missing)), ids=self._ids)
        loaded = await self._store.load(missing)
        for chat_id in missing:
            hot[chat_id] = cold(loaded.get(chat_id) or Chat(chat_id))

    async def _look_up(
        self, batch: Sequence[_Read]
    ) -> tuple[dict[tuple[str, str], FirstUse], dict[tuple[str, int], int]]:
        """What the fold of this batch may ask about the past beyond memory."""
        ids: set[tuple[str, str]] = set()
        seqs: set[tuple[str, int]] = set()
        for record, read in batch:
            if isinstance(read, Undecodable):
                continue
            data = read.event.data
            if isinstance(data, MessageSent):
                if self._hot[record.key].needs_lookup(data.message_id, read.id_us):
                    ids.add((record.key, data.message_id))
            elif isinstance(data, MessageRead):
                hot = self._hot[record.key]
                if 0 < data.up_to_seq <= hot.base_seq:
                    seqs.add((record.key, data.up_to_seq))
        uses = await self._store.first_uses(ids) if ids else {}
        ns = await self._store.ns(seqs) if seqs else {}
        return uses, ns


def _read(record: Record) -> Decoded | Undecodable:
    try:
        decoded = decode(record.value)
    except Undecodable as error:
        return error
    if decoded.event.chat_id != record.key:
        return Undecodable("the record's key is not the event's chat")
    return decoded
