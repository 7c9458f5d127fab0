"""One chat as this gateway follows it: what fan-out brings is released in the order of seq, each number once.

All live sessions share the cursor. What cannot be released at once (a hole in the numbers, an author's key
that is not at hand, a newcomer who must be shown the chat) holds up this chat alone, in one task.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from api.render import data_of
from api.ws.audience import NOBODY_MUTES, Audience
from api.ws.frames import MAX_SEQ
from api.ws.local import Shared, User, spoiled
from api.ws.patience import persist, retry_pause
from commands.chat import Chat
from commands.errors import Unavailable
from commands.isolation import for_each, left_out
from events.types import EventData, MessageSent
from projections.ports import Entry, Moved

log = logging.getLogger(__name__)

UNKNOWN = -1
"""The cursor of a chat that is subscribed to but whose head has not been read yet."""
PAGE = 200
MAX_HELD = 2_000
"""Beyond this many waiting entries the views are read instead."""

T = TypeVar("T")
Ready = Callable[[], Awaitable[None]]


class LocalChat(Audience):
    """`on_defect` is called if the work on this chat failed for a reason that repeating does not mend."""

    __slots__ = ("_behind", "_held", "_hint", "_marks", "_on_defect", "_task", "touched")

    def __init__(self, shared: Shared, chat_id: str, cursor: int, on_defect: Callable[[LocalChat], None]) -> None:
        super().__init__(shared, chat_id, cursor)
        self._on_defect = on_defect
        self._held: deque[Entry | Moved] | None = None
        self._task: asyncio.Task[None] | None = None
        self._behind = False
        """The views may have more than was released."""
        self._marks = False
        """Watermarks may have moved without notice."""
        self._hint = 0
        """The greatest seq heard of while the cursor was unknown."""
        self.touched = shared.timers.time()

    def receive(self, entries: Sequence[Entry], moved: Sequence[Moved]) -> None:
        """What fan-out brought, repeats and holes included."""
        self.touched = self._shared.timers.time()
        if self.cursor == UNKNOWN:
            if entries:
                self._hint = max(self._hint, entries[-1].seq)
            return
        if self._task is not None:
            self._hold(entries, moved)
            return
        for index, entry in enumerate(entries):
            if entry.seq <= self.cursor:
                continue
            data = data_of(entry)
            if entry.seq != self.cursor + 1 or not self._can_release(entry, data):
                self._hold(entries[index:], moved)
                self._work()
                return
            self.release(entry, data)
        if moved:
            if self.known is None:
                self._hold((), moved)
                self._work()
            else:
                for_each("moving a mark", moved, self.mark)

    def heard_of(self, seq: int) -> None:
        """The views have the chat up to this number."""
        if self.cursor == UNKNOWN:
            self._hint = max(self._hint, seq)
        elif seq > self.cursor:
            self.check()

    def begin(self, cursor: int) -> None:
        """From now on the cursor is known: everything up to it is past."""
        self.cursor = cursor
        if self._hint > cursor:
            self.check()

    def check(self, *, marks: bool = False, first: Ready | None = None) -> None:
        """Compare with the views and release what is missing; `marks`: watermarks too. `first` is awaited before."""
        if self.cursor == UNKNOWN:
            self._hint = MAX_SEQ  # as soon as there is something to compare
            return
        self._behind = True
        self._marks |= marks
        self._work(first)

    async def settled(self) -> None:
        """Return when what is held back now has been released."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        """Nobody here needs the chat any more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def cool(self) -> None:
        """Keep only what delivery needs, until somebody writes again."""
        if self._task is None:
            self.chat = self.ahead = None

    @property
    def is_busy(self) -> bool:
        """Whether something is held back."""
        return self._task is not None

    def _can_release(self, entry: Entry, data: EventData) -> bool:
        if type(data) is MessageSent:
            return not self.here or self._shared.sealer.ready(entry.actor_id)
        return not self.newcomers(data)

    def _hold(self, entries: Sequence[Entry], moved: Sequence[Moved]) -> None:
        if self._held is None:
            self._held = deque()
        self._held.extend(entries)
        self._held.extend(moved)
        if len(self._held) > MAX_HELD:
            self._held.clear()
            self._behind = self._marks = True

    def _work(self, first: Ready | None = None) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._catch_up(first))

    async def _catch_up(self, first: Ready | None) -> None:
        try:
            if first is not None:
                await self._persist(first)
            failures = 0
            while self._behind or self._marks or self._held:
                if self._behind:
                    await self._fill()
                elif self._held:
                    before = self.cursor
                    await self._release_held()
                    # The views must have what comes before anything published; if not, they are asked again.
                    failures = 0 if self.cursor > before or not self._behind else failures + 1
                    if failures > 1:
                        await retry_pause(self._shared, failures - 1)
                else:
                    await self._compare_marks()
            self._held = None
            self._task = None
        except Exception:
            log.exception(
                "chat %s cannot be followed", self.chat_id, extra={"chat_id": self.chat_id, "seq": self.cursor}
            )
            self._task = None
            self._on_defect(self)

    async def _release_held(self) -> None:
        """Release what fan-out brought, up to the first hole."""
        while self._held:
            item = self._held[0]
            if isinstance(item, Moved):
                if self.known is None:
                    self.adopt(await self._load())
                self._held.popleft()
                for_each("moving a mark", (item,), self.mark)
                continue
            if item.seq > self.cursor + 1:
                self._behind = True
                return
            self._held.popleft()
            if item.seq == self.cursor + 1:
                await self._release_when_ready(item)

    async def _fill(self) -> None:
        """Release from the views everything after the cursor."""
        self._shared.counters.fills += 1
        while True:
            self._behind = False
            page = await self._persist(partial(self._shared.views.entries_after, self.chat_id, self.cursor, PAGE))
            for entry in page.entries:
                if entry.seq > self.cursor + 1:
                    return  # a batch that is just being written: fan-out will bring it when all of it is there
                if entry.seq == self.cursor + 1:
                    await self._release_when_ready(entry)
            if not page.has_more:
                return

    async def _release_when_ready(self, entry: Entry) -> None:
        data = data_of(entry)
        mutes = NOBODY_MUTES if self._can_release(entry, data) else await self._prepare(entry, data)
        self.release(entry, data, mutes)

    async def _prepare(self, entry: Entry, data: EventData) -> Mapping[str, datetime]:
        """Fetch what the release of this entry needs; gives newcomers' mutes."""
        if type(data) is MessageSent:
            await self._persist(partial(self._shared.sealer.warm, (entry.actor_id,)))
            return NOBODY_MUTES
        while self.chat is None and (self.ahead is None or self.ahead.seq < entry.seq):
            state = await self._load()
            self.adopt(state)
            if state.seq < entry.seq:
                await retry_pause(self._shared, 0)
        return await self._mutes_of(self.newcomers(data))

    async def show_late(self, user: User) -> None:
        """Let in a member who was not noticed in time, and tell everything from the join on."""
        mutes = await self._mutes_of([user])
        while True:
            state = self.chat or await self._load()
            if state.seq >= self.cursor:
                break  # an older one could not tell who has left since
        member = state.members.get(user.user_id)
        gone = self._shared.users.get(user.user_id) is not user
        if gone or user in self.here or member is None or member.joined_seq > self.cursor:
            return
        self.admit(user, member.visible_from)
        frame = self.introduction(state, member, mutes.get(user.user_id))
        for session in user.sessions:
            try:
                if session.catching is None or session.catching.arrives(self.chat_id, member.joined_seq, frame):
                    session.link.send(frame)
                    session.catch_up(self.chat_id, member.joined_seq - 1)
            except Exception:
                spoiled(session)

    async def _mutes_of(self, users: Sequence[User]) -> Mapping[str, datetime]:
        """User → when this chat's mute ends, for those of the users who have muted it."""
        mutes: dict[str, datetime] = {}
        for user in users:
            try:
                found = await self._shared.mutes(user.user_id, [self.chat_id])
            except Unavailable:
                continue  # a mute not shown is mended by the next look at the chat; a chat not shown is not
            except Exception:
                left_out("asking whether a chat is muted")
                continue
            if self.chat_id in found:
                mutes[user.user_id] = found[self.chat_id]
        return mutes

    async def _compare_marks(self) -> None:
        """Tell of watermarks that moved unheard."""
        self._marks = False
        state = self.known
        if state is None:
            return
        fresh = await self._load()
        moved = [
            Moved(self.chat_id, member.user_id, member.delivered_seq, member.read_seq)
            for member in fresh.members.values()
            if (known := state.members.get(member.user_id)) is not None
            and (known.delivered_seq < member.delivered_seq or known.read_seq < member.read_seq)
        ]
        for_each("moving a mark", moved, self.mark)

    async def _load(self) -> Chat:
        state = await self._persist(partial(self._shared.views.chat, self.chat_id))
        return state if state is not None else Chat(self.chat_id)

    async def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await persist(self._shared, f"chat {self.chat_id}", ask)
