"""Fan-out over Redis: one message for each chat and batch, to those gateways that have members of the chat.

What is lost shows in three ways. A process that folds says each second where it stands and which heads have moved
(the digest), again until Redis has taken it. A gateway that does not hear of a partition, or hears of it from
somebody new, whose predecessor may have died before it spoke, compares everything with the views; while the silence
lasts it does so now and then. And so it does whenever its line to Redis was interrupted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from functools import partial
from uuid import uuid4

from commands.errors import Unavailable
from commands.isolation import for_each, left_out
from infra.redis.bus import Bus, Heard, Message
from infra.redis.wire import (
    Batch,
    Digest,
    Personal,
    Reached,
    Typing,
    chat_messages,
    common_messages,
    encode,
    personal_messages,
    read,
)
from projections.ports import Changes, Entry, Membership, Moved, Refused
from streams.measures import FanoutMeasures
from streams.ports import FanoutReceiver, traces_of

log = logging.getLogger(__name__)

DIGEST_S = 1.0
SILENCE_S = 2.0
"""Who has not heard of a partition for so long cannot know whether something was lost."""
COMPARE_S = (2.0, 4.0, 8.0)
"""While the silence lasts: pauses between comparisons with the views, the last one for ever."""
MAX_SPOKEN_FOR = 50_000
MAX_HEADS = 100_000
"""As many moved heads are remembered while Redis is away."""


class RedisFanout:
    """`partitions`: how many the log has. A process that attaches no receiver only speaks."""

    def __init__(
        self, bus: Bus, *, namespace: str, partitions: int, digest_s: float = DIGEST_S, silence_s: float = SILENCE_S
    ) -> None:
        self._bus = bus
        self._chat = f"tidings:{namespace}:chat:".encode()
        self._user = f"tidings:{namespace}:user:".encode()
        self._seen = f"tidings:{namespace}:presence:".encode()
        self._all = f"tidings:{namespace}:all".encode()
        self._partitions = partitions
        self._digest_s = digest_s
        self._silence_s = silence_s
        self.observers: list[Callable[[Changes], None]] = []
        """Hear of each batch before it is published. Must neither block nor raise."""
        self._receiver: FanoutReceiver | None = None
        self._watched: frozenset[str] = frozenset()
        self._tasks: list[asyncio.Task[None]] = []
        # What this process publishes.
        self._publisher = uuid4().hex
        self._number = 0
        self._positions: dict[int, int] = {}
        self._heads: dict[str, int] = {}
        # What it hears from others.
        self._numbers: dict[str, int] = {}
        self._spoken_for: set[tuple[str, int]] = set()
        self._heard_at: dict[int, float] = {}
        self.measures = FanoutMeasures()

    async def start(self) -> None:
        """The bus should have been started before, and the receiver attached."""
        if self._receiver is not None:
            self._bus.reconnected.append(partial(self._resync, self._receiver))
            await self._bus.subscribe({self._all: self._on_all})
            self._run(self._notice_silence(self._receiver))
        self._run(self._beat())

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- The port ---------------------------------------------------------------------------------------------

    def attach(self, receiver: FanoutReceiver) -> None:
        self._receiver = receiver

    async def subscribe(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        handlers: dict[bytes, Heard] = {
            self._chat + chat_id.encode(): partial(self._on_chat, chat_id) for chat_id in chats
        }
        handlers |= {self._user + user_id.encode(): self._on_personal for user_id in users}
        await self._bus.subscribe(handlers)

    async def unsubscribe(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        gone = [self._chat + chat_id.encode() for chat_id in chats]
        self._bus.unsubscribe([*gone, *(self._user + user_id.encode() for user_id in users)])

    async def watch(self, user_ids: Collection[str]) -> None:
        watched = frozenset(user_ids)
        before, self._watched = self._watched, watched
        self._bus.unsubscribe([self._seen + user_id.encode() for user_id in before - watched])
        await self._bus.subscribe(
            {self._seen + user_id.encode(): partial(self._on_presence, user_id) for user_id in watched - before}
        )

    async def publish(self, changes: Changes) -> None:
        for_each("telling of changes", self.observers, lambda tell: tell(changes))
        self._positions[changes.partition] = changes.next_offset
        self._note_heads(changes.entries)
        reached = encode(Reached(changes.partition, changes.next_offset))
        messages = [*self._personal(changes), *self._of_chats(changes)]
        self.measures.published += len(messages)
        if not self._bus.post([*messages, (self._all, reached)]):
            self.measures.unsent += len(messages)
        await self._bus.room()

    def release(self, partition: int) -> None:
        if self._positions.pop(partition, None) is not None:
            # Should the partition come back, others have spoken for it meanwhile: gateways must compare again.
            self._publisher, self._number = uuid4().hex, 0

    def publish_typing(self, chat_id: str, user_id: str) -> None:
        self._bus.post([(self._chat + chat_id.encode(), encode(Typing(user_id)))])

    def publish_presence(self, user_id: str) -> None:
        self._bus.post([(self._seen + user_id.encode(), b"")])

    # --- Speaking ---------------------------------------------------------------------------------------------

    def _personal(self, changes: Changes) -> Iterable[Message]:
        """Comes first, so that a newcomer's gateway follows the chat when its events arrive."""
        memberships: dict[str, list[Membership]] = {}
        refused: dict[str, list[Refused]] = {}
        for row in changes.memberships.values():
            memberships.setdefault(row.user_id, []).append(row)
        for refusal in changes.refused:
            refused.setdefault(refusal.actor_id, []).append(refusal)
        for user_id in memberships.keys() | refused.keys():
            message = Personal(memberships.get(user_id, []), refused.get(user_id, []))
            yield self._user + user_id.encode(), encode(message)

    def _of_chats(self, changes: Changes) -> Iterable[Message]:
        entries: dict[str, list[Entry]] = {}
        moved: dict[str, list[Moved]] = {}
        for entry in changes.entries:
            entries.setdefault(entry.chat_id, []).append(entry)
        for mark in changes.moved.values():
            moved.setdefault(mark.chat_id, []).append(mark)
        for chat_id, some in entries.items():
            yield self._chat + chat_id.encode(), encode(Batch(some, moved.pop(chat_id, []), traces_of(changes, some)))
        for chat_id, marks in moved.items():
            yield self._chat + chat_id.encode(), encode(Batch([], marks))

    def _note_heads(self, entries: Sequence[Entry]) -> None:
        heads = self._heads
        for entry in entries:
            heads[entry.chat_id] = entry.seq
        if len(heads) > MAX_HEADS:
            # Who hears of a partition from somebody new compares everything.
            heads.clear()
            self._publisher, self._number = uuid4().hex, 0

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._digest_s)
            if self._positions:
                try:
                    await self._tell_digest()
                except Exception:
                    log.exception("the digest could not be told: the next one comes in a moment")

    async def _tell_digest(self) -> None:
        sent, self._heads = self._heads, {}
        number = self._number + 1
        digest = Digest(self._publisher, number, self._positions, sent)
        try:
            await self._bus.publish([(self._all, encode(digest))])
        except Unavailable:
            # Nobody may have heard it: tell it again with what happened since.
            self._heads = sent | self._heads
        else:
            if digest.publisher == self._publisher:
                self._number = number

    # --- Listening --------------------------------------------------------------------------------------------

    def _on_chat(self, chat_id: str, payload: bytes) -> None:
        receiver, message = self._receiver, read(chat_messages, payload)
        if receiver is None or message is None:
            return
        if type(message) is Batch:
            self.measures.received += 1
            if message.traces:
                try:
                    receiver.on_traces(chat_id, message.traces)
                except Exception:  # a trace is worth no message
                    left_out("taking in traces")
            receiver.on_chat(chat_id, message.entries, message.moved)
        elif type(message) is Typing:
            receiver.on_typing(chat_id, message.user_id)

    def _on_personal(self, payload: bytes) -> None:
        receiver, message = self._receiver, read(personal_messages, payload)
        if receiver is None or message is None:
            return
        self.measures.received += 1
        if message.memberships:
            try:
                receiver.on_memberships(message.memberships)
            except Exception:
                left_out("taking in memberships")
        if message.refused:
            receiver.on_refused(message.refused)

    def _on_presence(self, user_id: str, payload: bytes) -> None:
        if self._receiver is not None:
            self._receiver.on_presence(user_id)

    def _on_all(self, payload: bytes) -> None:
        receiver, message = self._receiver, read(common_messages, payload)
        if receiver is None or message is None:
            return
        if type(message) is Reached:
            receiver.on_progress(message.partition, message.next_offset)
        elif type(message) is Digest:
            self._on_digest(receiver, message)

    def _on_digest(self, receiver: FanoutReceiver, digest: Digest) -> None:
        now = asyncio.get_running_loop().time()
        known = self._numbers.get(digest.publisher, 0)
        missed = digest.number > known + 1
        self._numbers[digest.publisher] = max(known, digest.number)
        for partition, next_offset in digest.positions.items():
            self._heard_at[partition] = now
            if len(self._spoken_for) > MAX_SPOKEN_FOR:
                self._spoken_for.clear()
                self._numbers.clear()
            if (digest.publisher, partition) not in self._spoken_for:
                self._spoken_for.add((digest.publisher, partition))
                missed = True
            try:
                receiver.on_progress(partition, next_offset)
            except Exception:
                left_out("taking in where a partition stands")
        if missed:
            self._resync(receiver)
        if digest.heads:
            receiver.on_digest(digest.heads)

    async def _notice_silence(self, receiver: FanoutReceiver) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        compared_at, times = started, 0
        while True:
            await asyncio.sleep(self._silence_s / 8)
            now = loop.time()
            heard_at = min(self._heard_at.get(partition, started) for partition in range(self._partitions))
            if now - heard_at <= self._silence_s:
                times = 0
            elif times == 0 or now - compared_at >= COMPARE_S[min(times, len(COMPARE_S)) - 1]:
                compared_at, times = now, times + 1
                try:
                    self._resync(receiver)
                except Exception:
                    log.exception("a comparison with the views could not be asked for")

    def _resync(self, receiver: FanoutReceiver) -> None:
        self.measures.resyncs += 1
        receiver.on_resync()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))
