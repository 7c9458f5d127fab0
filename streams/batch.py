"""The batch core: records of one partition in, changes to the views out. Embedded runner, Faust worker and
rebuild all drive it.

It keeps hot chats in memory, reads what the fold needs from the views in a few bulk calls per batch, and parks
a chat whose record cannot be folded.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from commands.chat import Chat
from events.codec import Decoded, Undecodable, decode
from events.log import Position, Record
from events.types import ChatHeld, ChatReleased, MessageRead, MessageSent
from projections.fold import Hot, Memory, cold, fold_record, note_release, pass_over
from projections.ports import Changes, FirstUse, FoldStore, Parked

logger = logging.getLogger(__name__)

AFTER_PARKED = "an earlier event is parked"
HELD = "held by an operator"

_Read = tuple[Record, Decoded | Undecodable]


class FoldFailed(Exception):
    """The record at this offset made the fold raise: a defect, never a store's error."""

    def __init__(self, chat_id: str, offset: int) -> None:
        super().__init__(f"the record at {offset} cannot be folded")
        self.chat_id = chat_id
        self.offset = offset


class Discards(Protocol):
    """Records that operators have discarded, noted beside the log: a fold from its beginning must know of them before
    it comes to them, whatever its code makes of them."""

    async def all(self) -> Collection[Position]:
        """Raises Unavailable."""


class BatchFold:
    """The fold of one partition of one generation of the views."""

    def __init__(self, store: FoldStore, memory: Memory | None = None, discards: Discards | None = None) -> None:
        self._store = store
        self._memory = memory or Memory()
        self._discards = discards
        self._discarded: frozenset[Position] = frozenset()
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
        poison: dict[int, str] = {}
        while True:
            try:
                return await self._fold(decoded, poison)
            except FoldFailed as failure:
                position = f"{records[0].partition}:{failure.offset}"
                logger.error(
                    "record %s cannot be folded",
                    position,
                    exc_info=failure.__cause__,
                    extra={"chat_id": failure.chat_id, "position": position},
                )
                # The batch left half a change in memory. Once more, and now that record is parked.
                self.forget()
                poison[failure.offset] = f"the fold failed: {failure.__cause__!r}"

    async def _fold(self, batch: Sequence[_Read], poison: Mapping[int, str]) -> Changes:
        if self._parked is None:
            self._discarded = frozenset(await self._discards.all()) if self._discards is not None else frozenset()
            self._parked = await self._store.parked_chats()
        parked = self._parked
        last = batch[-1][0]
        changes = Changes(last.partition, last.offset + 1)
        await self._load({record.key for record, _ in batch}, batch[0][0].offset)
        uses, ns = await self._look_up(batch)
        for record, read in batch:
            chat_id = record.key
            since = parked.get(chat_id)
            if record.offset in poison:
                read = Undecodable(poison[record.offset])
            # A crash may have left the parked row in the views but not yet the head before it.
            waits = since is not None and record.offset >= since
            if self._discarded and not waits and Position(record.partition, record.offset) in self._discarded:
                pass_over(changes, self._hot[chat_id], record.offset)
            elif isinstance(read, Undecodable):
                self._park(changes, record, str(read))
            elif isinstance(read.event.data, ChatReleased):
                if waits:
                    await self._release(changes, record, read.event.data, poison, batch[0][0].offset)
                    # What was looked up for the rest of the batch was so for the state before.
                    changes.next_offset = record.offset + 1
                    break
                note_release(changes, self._hot[chat_id], record.offset)
            elif isinstance(read.event.data, ChatHeld):
                self._park(changes, record, HELD)
            elif waits:
                self._park(changes, record, AFTER_PARKED)
            else:
                self._fold_one(changes, record, read, uses, ns)
        self._ids += len(changes.uses)
        for chat_id in changes.heads:
            self._ids -= self._hot[chat_id].trim(self._memory)
        if self._ids > self._memory.ids:
            self._forget_oldest(keep=set(), chats=len(self._hot), ids=self._memory.ids * 3 // 4)
        return changes

    def _fold_one(
        self,
        changes: Changes,
        record: Record,
        read: Decoded,
        uses: Mapping[tuple[str, str], FirstUse],
        ns: Mapping[tuple[str, int], int],
    ) -> None:
        try:
            fold_record(changes, self._hot[record.key], record, read, uses, ns)
        except Exception as error:
            raise FoldFailed(record.key, record.offset) from error

    def _park(self, changes: Changes, record: Record, reason: str) -> None:
        """Put a record aside, and with it its chat from there on."""
        assert self._parked is not None, "known since the batch began"
        since = self._parked.get(record.key)
        if since is None or record.offset < since:
            position = f"{record.partition}:{record.offset}"
            logger.error(
                "chat %s is parked at %s: %s",
                record.key,
                position,
                reason,
                extra={"chat_id": record.key, "position": position},
            )
            self._parked[record.key] = record.offset
        changes.parked.append(Parked(record.key, record.partition, record.offset, reason, record.value))

    async def _release(
        self, changes: Changes, record: Record, released: ChatReleased, poison: Mapping[int, str], since: int
    ) -> None:
        """Fold what waits in this chat, in order, up to this record; park again from what still cannot be folded.
        `since`: where the batch begins."""
        assert self._parked is not None, "known since the batch began"
        chat_id, partition = record.key, record.partition
        rows = {row.offset: row for row in await self._store.parked_of(chat_id) if row.offset < record.offset}
        rows |= {row.offset: row for row in changes.parked if row.chat_id == chat_id}
        if self._discards is not None:
            self._discarded = frozenset(await self._discards.all())
        passed_over = {position.offset for position in self._discarded if position.partition == partition}
        passed_over |= set(released.discarded)
        waiting = [(row, again) for _, row in sorted(rows.items()) for again in (_again(row),)]
        # Another fold may have released them already, and then it has written the head before it took the rows away;
        # or a tool has mended the chat while it waited.
        stored = (await self._stored((chat_id,), since)).get(chat_id)
        if stored is not None and stored.offset >= self._hot[chat_id].chat.offset:
            self._ids -= len(self._hot[chat_id].recent)
            self._hot[chat_id] = cold(stored)
            changes.heads.pop(chat_id, None)
        uses, ns = await self._look_up([(again, _read(again)) for _, again in waiting])
        del self._parked[chat_id]
        for row, again in waiting:
            read = _read(again)
            if again.offset in poison:
                read = Undecodable(poison[again.offset])
            if again.offset in passed_over:
                pass_over(changes, self._hot[chat_id], again.offset)
            elif isinstance(read, Undecodable):
                # Its row stays as it is: views do not depend on how often somebody tried.
                self._parked[chat_id] = again.offset
                self._park(changes, record, AFTER_PARKED)
                logger.error("chat %s stays parked at %d:%d: %s", chat_id, partition, again.offset, read)
                return
            elif isinstance(read.event.data, ChatReleased | ChatHeld):
                note_release(changes, self._hot[chat_id], again.offset)
            else:
                self._fold_one(changes, again, read, uses, ns)
            changes.released.append(row)
        note_release(changes, self._hot[chat_id], record.offset)
        logger.warning("chat %s is released with %d records", chat_id, len(waiting), extra={"chat_id": chat_id})

    def _forget_oldest(self, keep: set[str], chats: int, ids: int) -> None:
        """Forget chats, the longest remembered first, until no more than so many, with so many ids, are left.

        A dict keeps insertion order, and a chat in use comes back with its next record.
        """
        for chat_id in list(self._hot):
            if len(self._hot) <= chats and self._ids <= ids:
                return
            if chat_id not in keep:
                self._ids -= len(self._hot.pop(chat_id).recent)

    async def _load(self, chat_ids: set[str], since: int) -> None:
        hot, most = self._hot, self._memory.chats
        missing = [chat_id for chat_id in chat_ids if chat_id not in hot]
        if not missing:
            return
        if len(hot) + len(missing) > most:
            self._forget_oldest(keep=chat_ids, chats=max(0, most * 3 // 4 - len(missing)), ids=self._ids)
        loaded = await self._stored(missing, since)
        for chat_id in missing:
            hot[chat_id] = cold(loaded.get(chat_id) or Chat(chat_id))

    async def _stored(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        """Chats of the views, none of which can go back any more: records that a head has already are passed over, and
        the position moves past them. What stands before `since` was in for certain when the position came there.
        """
        found = await self._store.load(chat_ids)
        ahead = [chat_id for chat_id, chat in found.items() if chat.offset >= since]
        if ahead:
            for chat_id in ahead:
                del found[chat_id]
            found |= await self._store.secured(ahead, since)
        return found

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


def _again(row: Parked) -> Record:
    """A parked record, as it came from the log but for its time, which no fold asks for."""
    return Record(row.partition, row.offset, 0, row.chat_id, row.value)


def _read(record: Record) -> Decoded | Undecodable:
    try:
        decoded = decode(record.value)
    except Undecodable as error:
        return error
    if decoded.event.chat_id != record.key:
        return Undecodable("the record's key is not the event's chat")
    return decoded
