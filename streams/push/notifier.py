"""From the fold to the topic of notifications: a note for each message, stored before the message is in any view.

Only the runner of the served generation has a notifier; folds that rebuild have none, so they push nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from events.ids import unix_us
from projections.ports import Changes
from streams.push.queues import Item, Queue
from streams.push.records import Note, decode_note, encode_note

STALE = timedelta(hours=24)
"""A message this old is pushed to nobody any more."""
WINDOW = 2_000
"""Notes looked back at on taking over: more than a batch has, so all that may have been stored in part."""


class _Known:
    """Which notes of a partition are stored already."""

    def __init__(self, notes: list[Note]) -> None:
        self._keys = {note.key for note in notes}
        self._first = min((note.offset for note in notes), default=-1)
        self._last = max((note.offset for note in notes), default=-1)

    def __contains__(self, note: Note) -> bool:
        return note.offset <= self._last and (note.offset < self._first or note.key in self._keys)


class Notifier:
    def __init__(self, queue: Queue, tag: str, now: Callable[[], datetime], wanted: Callable[[], bool]) -> None:
        """`tag`: of the log that is folded. `wanted`: whether there is any device; without one nothing is stored."""
        self._queue = queue
        self._tag = tag
        self._now = now
        self._wanted = wanted
        self._known: dict[int, _Known] = {}

    async def take_over(self, partition: int) -> None:
        """Learn what is stored: views that fall back, or are folded anew, are not notified of twice. Raises
        Unavailable."""
        stored = map(_note, await self._queue.tail(partition, WINDOW))
        self._known[partition] = _Known([note for note in stored if note is not None and note.log == self._tag])

    async def notify(self, changes: Changes) -> None:
        """Return when the notes of this batch are stored durably. Raises Unavailable."""
        if not changes.entries or not self._wanted():
            return
        if changes.partition not in self._known:
            await self.take_over(changes.partition)
        known, tag = self._known[changes.partition], self._tag
        since = unix_us(self._now() - STALE)
        notes = [
            note
            for entry in changes.entries
            if entry.type == "message.sent" and entry.at_us >= since
            for note in (Note(entry.chat_id, entry.seq, entry.offset, tag),)
            if note not in known
        ]
        if notes:
            await self._queue.put(changes.partition, [encode_note(note) for note in notes])


def _note(item: Item) -> Note | None:
    """None for what cannot be read: the stream says so when it comes to it, and the fold must not stop over it."""
    try:
        return decode_note(item.key, item.value)
    except ValueError:
        return None
