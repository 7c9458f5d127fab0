"""Fan-out inside one process: the runner calls the gateway."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from commands.isolation import left_out
from projections.ports import Changes, Entry, Moved
from streams.measures import FanoutMeasures
from streams.ports import FanoutReceiver, traces_of


class MemoryFanout:
    """Nothing is lost here, so it never asks for a resync. Without a receiver it drops everything."""

    def __init__(self) -> None:
        self._receiver: FanoutReceiver | None = None
        self._chats: set[str] = set()
        self._users: set[str] = set()
        self._watched: frozenset[str] = frozenset()
        self.measures = FanoutMeasures()

    def attach(self, receiver: FanoutReceiver) -> None:
        self._receiver = receiver

    async def subscribe(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        self._chats.update(chats)
        self._users.update(users)

    async def unsubscribe(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        self._chats.difference_update(chats)
        self._users.difference_update(users)

    async def watch(self, user_ids: Collection[str]) -> None:
        self._watched = frozenset(user_ids)

    async def publish(self, changes: Changes) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        rows = [row for row in changes.memberships.values() if row.user_id in self._users]
        self._tell(lambda: receiver.on_memberships(rows), rows)
        entries: dict[str, list[Entry]] = {}
        for entry in changes.entries:
            if entry.chat_id in self._chats:
                entries.setdefault(entry.chat_id, []).append(entry)
        moved: dict[str, list[Moved]] = {}
        for mark in changes.moved.values():
            if mark.chat_id in self._chats:
                moved.setdefault(mark.chat_id, []).append(mark)
        # Published is what somebody here is told, so both are one.
        told = len(entries) + sum(chat_id not in entries for chat_id in moved)
        self.measures.published += told
        self.measures.received += told
        for chat_id, some in entries.items():
            # A failing receiver of one is no reason for others to hear nothing, nor for the fold to stop.
            try:
                if traces := traces_of(changes, some):
                    receiver.on_traces(chat_id, traces)
            except Exception:
                left_out("taking in traces")
            try:
                receiver.on_chat(chat_id, some, moved.pop(chat_id, ()))
            except Exception:
                left_out("taking in what happened in a chat")
        for chat_id, marks in moved.items():
            try:
                receiver.on_chat(chat_id, (), marks)
            except Exception:
                left_out("taking in marks of a chat")
        refused = [row for row in changes.refused if row.actor_id in self._users]
        self._tell(lambda: receiver.on_refused(refused), refused)
        self._tell(lambda: receiver.on_progress(changes.partition, changes.next_offset), [changes.next_offset])

    def _tell(self, tell: Callable[[], None], some: Sequence[object]) -> None:
        if some:
            try:
                tell()
            except Exception:
                left_out("taking in changes")

    def release(self, partition: int) -> None:
        """Nobody counts on hearing of it: nothing is lost here."""

    def publish_typing(self, chat_id: str, user_id: str) -> None:
        if self._receiver is not None and chat_id in self._chats:
            self._receiver.on_typing(chat_id, user_id)

    def publish_presence(self, user_id: str) -> None:
        if self._receiver is not None and user_id in self._watched:
            self._receiver.on_presence(user_id)
