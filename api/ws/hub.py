"""The gateway's own picture of chats and of who is here: kept by fan-out, mended from the views.

Fan-out is a hint. A chat is subscribed to first and read afterwards, so nothing falls between; holes are filled
from the views; and what could be lost without a hole is compared from time to time (`api/ws/caretaker.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial

from api.ws.audience import Audience
from api.ws.counters import Counters
from api.ws.frames import Rejected, TypingFrame, encode
from api.ws.limits import OUR_ERROR
from api.ws.local import LocalSession, Mutes, Shared, User, Views, spoiled
from api.ws.localchat import UNKNOWN, LocalChat
from api.ws.subscriptions import Subscriptions
from commands.chat import Chat
from commands.errors import Unavailable
from commands.isolation import for_each, left_out
from commands.sealing import Sealer
from commands.timers import Timers
from events.log import Position
from projections.ports import Entry, Membership, Moved, Refused, Summary
from streams.ports import Fanout
from streams.progress import FoldProgress

log = logging.getLogger(__name__)

BATCH = 500
"""Chats asked for in one call."""
ROUNDS = 5


class Hub:
    """Receives fan-out, and is the ChatSource of commands. All methods run on one event loop."""

    def __init__(
        self,
        views: Views,
        fanout: Fanout,
        sealer: Sealer,
        progress: FoldProgress,
        timers: Timers,
        *,
        mutes: Mutes,
        counters: Counters | None = None,
    ) -> None:
        self.fanout = fanout
        self.shared = Shared(views, sealer, timers, mutes, counters or Counters())
        self.chats: dict[str, LocalChat] = {}
        self.users = self.shared.users
        self.subscriptions = Subscriptions(fanout)
        self.presence_changed: Callable[[str], None] = _nobody_watches
        self.resync_needed = False
        self._progress = progress
        self._tasks: set[asyncio.Task[None]] = set()
        self._warming: set[str] = set()

    # --- Commands ask for chats ---------------------------------------------------------------------------

    def cached(self, chat_id: str) -> Chat | None:
        local = self.chats.get(chat_id)
        return None if local is None else local.chat

    def seats(self, chat_id: str, user_id: str) -> bool:
        """Also begins to fetch the chat's state where it is not at hand: whoever writes wants to hear of marks."""
        user = self.users.get(user_id)
        audience = None if user is None else user.chats.get(chat_id)
        if audience is None:
            return False
        if audience.known is None and chat_id not in self._warming:
            self._warming.add(chat_id)
            self._start(self._warm(chat_id))
        return True

    async def load(self, chat_id: str) -> Chat:
        state = await self.shared.views.chat(chat_id)
        if state is None:
            return Chat(chat_id)
        local = self.chats.get(chat_id)
        if local is not None and local.cursor != UNKNOWN:
            local.adopt(state)
        return state

    async def _warm(self, chat_id: str) -> None:
        try:
            await self.load(chat_id)
        except Unavailable as error:
            log.info("the state of chat %s is fetched with the next message: %s", chat_id, error)
        finally:
            self._warming.discard(chat_id)

    async def message_seq(self, chat_id: str, message_id: str) -> int | None:
        use = await self.shared.views.first_use(chat_id, message_id)
        return None if use is None else use.seq

    # --- Fan-out brings news ------------------------------------------------------------------------------

    def on_chat(self, chat_id: str, entries: Sequence[Entry], moved: Sequence[Moved]) -> None:
        local = self.chats.get(chat_id)
        if local is not None:
            try:
                local.receive(entries, moved)
            except Exception:
                log.exception("chat %s cannot be followed", chat_id, extra={"chat_id": chat_id})
                self._give_up(local)

    def on_traces(self, chat_id: str, traces: Mapping[int, str]) -> None:
        """Of interest to whoever traces."""

    def on_memberships(self, rows: Sequence[Membership]) -> None:
        for_each("taking in a membership", rows, self._on_membership)

    def _on_membership(self, row: Membership) -> None:
        user = self.users.get(row.user_id)
        if user is not None and row.left_seq is None:
            self.joined(user, row.chat_id, row.joined_seq)

    def on_refused(self, rows: Sequence[Refused]) -> None:
        for_each("telling of a refusal", rows, self._on_refusal)

    def _on_refusal(self, row: Refused) -> None:
        user = self.users.get(row.actor_id)
        if user is not None:
            position = str(Position(row.partition, row.offset))
            frame = encode(
                Rejected(row.chat_id, position, row.code)
                if row.message_id is None
                else Rejected(row.chat_id, position, row.code, row.message_id)
            )
            for session in user.sessions:
                try:
                    session.link.send(frame)
                except Exception:
                    spoiled(session)

    def on_progress(self, partition: int, next_offset: int) -> None:
        self._progress.advance(partition, next_offset)

    def on_digest(self, heads: Mapping[str, int]) -> None:
        for chat_id, seq in heads.items():
            local = self.chats.get(chat_id)
            if local is not None:
                try:
                    local.heard_of(seq)
                except Exception:
                    left_out("comparing a chat with its head")

    def on_typing(self, chat_id: str, user_id: str) -> None:
        local = self.chats.get(chat_id)
        if local is None or not local.here:
            return
        frame = encode(TypingFrame(chat_id, user_id))
        for user in local.here:
            if user.user_id != user_id:
                for session in user.sessions:
                    try:
                        session.link.send(frame)
                    except Exception:
                        spoiled(session)

    def on_presence(self, user_id: str) -> None:
        self.presence_changed(user_id)

    def on_resync(self) -> None:
        self.resync_needed = True

    # --- Users come and go --------------------------------------------------------------------------------

    def arrive(self, user_id: str) -> User:
        """Somebody is connecting: from now on arrivals in chats concern them. Each call needs one `settle_in`
        or `turn_away`."""
        user = self.users.get(user_id)
        if user is None:
            user = self.users[user_id] = User(user_id)
        user.connecting += 1
        return user

    def settle_in(self, user: User, session: LocalSession) -> None:
        """From now on the session is told everything."""
        user.connecting -= 1
        user.sessions.append(session)

    def turn_away(self, user: User) -> None:
        """The connection came to nothing."""
        user.connecting -= 1
        self._forget_if_gone(user)

    def leave(self, user: User, session: LocalSession) -> None:
        """A session is over."""
        user.sessions.remove(session)
        self._forget_if_gone(user)

    def chats_of_connected(self, user_id: str) -> Collection[str] | None:
        """The chats of a user who is connected here; None for anybody else."""
        user = self.users.get(user_id)
        return user.chats.keys() if user is not None and user.sessions else None

    async def find_chats(self, user: User) -> dict[str, Summary]:
        """Make `user.chats` true as of now and give what the views say of them. Raises Unavailable."""
        views = self.shared.views
        await self.subscriptions.add(users=[user.user_id])
        wanted = set(await views.chats_of(user.user_id))
        found: dict[str, Summary] = {}
        for _ in range(ROUNDS):
            await self._subscribe(wanted)
            behind: set[str] = set()
            for batch in _batches(wanted):
                for summary in await views.summaries(user.user_id, batch):
                    found[summary.chat.chat_id] = summary
                    if not self._seat(user, summary):
                        behind.add(summary.chat.chat_id)
            for chat_id in behind:
                local = self.chats.get(chat_id)
                if local is not None:
                    await local.settled()
                    if user.sessions and user not in local.here:
                        await self._show_late(local, user)
            # Chats joined while we asked are not in the answer yet.
            wanted = behind | {chat_id for chat_id in user.chats if chat_id not in found}
            if not wanted:
                return found
        # In a chat that is busy each answer may be older than what was released since. What was released knows the
        # members too: whoever is one of them must not be told that they are not.
        for local in [self.chats[chat_id] for chat_id in wanted if chat_id in self.chats]:
            if user not in local.here:
                await local.show_late(user)
        return found

    def joined(self, user: User, chat_id: str, joined_seq: int, head: int | None = None) -> None:
        """Somebody here joined a chat with the event `joined_seq`, or so the views say; `head` is where they say the
        chat stands, None where the join is news."""
        local = self.chats.get(chat_id) or self._open(chat_id, UNKNOWN)
        if local.cursor == UNKNOWN:
            # Told from the join on, which then lets the user in; or, if it is long past, as to a latecomer.
            local.cursor = joined_seq - 1 if head is None else head
            local.check(first=partial(self.subscriptions.add, chats=[chat_id]))
        if joined_seq <= local.cursor and user not in local.here:
            self._start(self._show_late(local, user))

    def drop(self, local: LocalChat) -> None:
        """Stop following a chat."""
        local.close()
        for_each("seeing somebody off", local.here, local.dismiss)
        if self.chats.get(local.chat_id) is local:
            del self.chats[local.chat_id]
            self.subscriptions.drop(chats=[local.chat_id])

    def stop(self) -> None:
        """Stop following everything."""
        for_each("ceasing to follow a chat", self.chats.values(), LocalChat.close)
        for_each("ending a task", self._tasks, lambda task: task.cancel())

    async def _subscribe(self, chat_ids: Iterable[str]) -> None:
        """Follow these chats, unless they are followed already."""
        for chat_id in chat_ids:
            if chat_id not in self.chats:
                self._open(chat_id, UNKNOWN)
        await self.subscriptions.add(chats=list(chat_ids))

    def _open(self, chat_id: str, cursor: int) -> LocalChat:
        local = self.chats[chat_id] = LocalChat(self.shared, chat_id, cursor, self._give_up)
        return local

    def _seat(self, user: User, summary: Summary) -> bool:
        """Let the user hear a chat that the summary says they are in. False if that cannot be told yet."""
        local = self.chats.get(summary.chat.chat_id)
        if local is None:
            return False
        if user in local.here:
            return True
        if local.cursor == UNKNOWN:
            local.begin(summary.chat.seq)
        own = summary.own
        if summary.chat.seq > local.cursor:
            local.check()  # it was published, or is being: perhaps before we had subscribed
        if user.sessions:
            return False  # sessions that are open have to be told of the chat first
        if summary.chat.seq >= local.cursor:
            if own.joined_seq <= local.cursor:
                local.admit(user, own.visible_from)
                return True
            return False  # the join is still to be released, and will let the user in
        # The summary is older than what was released since: it may have missed the user's leaving.
        member = None if local.chat is None else local.chat.members.get(user.user_id)
        if member is None:
            return local.chat is not None
        local.admit(user, member.visible_from)
        return True

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget_if_gone(self, user: User) -> None:
        if user.sessions or user.connecting:
            return
        for_each("leaving a chat", user.chats.values(), partial(self._leave, user))
        if self.users.get(user.user_id) is user:
            del self.users[user.user_id]
            self.subscriptions.drop(users=[user.user_id])

    def _leave(self, user: User, audience: Audience) -> None:
        audience.dismiss(user)
        self._touch(audience)

    def _touch(self, audience: Audience) -> None:
        """A chat without anybody here lingers from now on."""
        local = self.chats.get(audience.chat_id)
        if local is not None:
            local.touched = self.shared.timers.time()

    def _give_up(self, local: LocalChat) -> None:
        """Following a chat failed by a defect: those who are in it must not miss anything without knowing."""
        here = [session for user in local.here for session in user.sessions]
        for_each("ending a session", here, lambda session: session.close(OUR_ERROR, "our error"))
        self.drop(local)

    async def _show_late(self, local: LocalChat, user: User) -> None:
        """Fails for this chat alone: the caretaker's next comparison finds that the user misses it."""
        try:
            await local.show_late(user)
        except Exception:
            left_out("showing somebody a chat")


def _batches(chat_ids: Iterable[str]) -> list[list[str]]:
    every = list(chat_ids)
    return [every[start : start + BATCH] for start in range(0, len(every), BATCH)]


def _nobody_watches(user_id: str) -> None:
    """Presence of nobody is of interest here."""
