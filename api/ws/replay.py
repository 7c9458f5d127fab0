"""Telling a client that came back what it missed, while its other chats and other clients go on.

The past is read from the views, page by page, up to the gateway's cursor; the moment both meet, the session is
live. Nothing is buffered: what arrives meanwhile is in the views as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from api.render import data_of
from api.ws.audience import Audience
from api.ws.catching import CatchUp
from api.ws.events import event_frame
from api.ws.frames import Gone, Limited, encode
from api.ws.local import LocalSession, Shared, User
from api.ws.patience import persist, retry_pause
from projections.ports import Entry

MAX_PER_CHAT = 200
MAX_EVENTS = 2_000
MAX_BYTES = 4 * 1024 * 1024
DRAIN_EVERY = 100
"""Frames between two looks at whether the socket takes more."""

T = TypeVar("T")


class TooMuch(Exception):
    """The whole replay would pass its limit: the client fetches the rest over HTTP."""


class Replay:
    """One session's way to the present, in every chat of its `catching`."""

    def __init__(self, shared: Shared, user: User, session: LocalSession) -> None:
        self._shared = shared
        self._user = user
        self._session = session
        self._events = 0
        self._bytes = 0

    async def run(self) -> None:
        """Return when the session is live everywhere, or over."""
        while (chat_id := self._next()) is not None and self._session.catching is not None:
            self._shared.counters.replays += 1
            await self._tell(chat_id, self._session.catching.chats[chat_id])

    def _next(self) -> str | None:
        """A chat that waits for its replay: more may come while one is under way."""
        catching = self._session.catching
        chats = {} if catching is None else catching.chats
        return next((chat_id for chat_id, chat in chats.items() if not chat.skip_to), None)

    async def _tell(self, chat_id: str, chat: CatchUp) -> None:
        while not self._is_over(chat_id, chat):
            stay = chat.stays[0] if chat.stays else None
            audience = self._user.chats.get(chat_id)
            if stay is not None:
                end = stay.left_seq
            elif audience is not None:
                end = audience.cursor
            else:
                catching = self._session.catching
                if catching is not None:
                    catching.end(chat_id)
                return
            if chat.seq < end:
                try:
                    frames = await self._missed(chat_id, chat.seq, end)
                except TooMuch:
                    if not self._is_over(chat_id, chat):
                        self._give_up(chat_id, chat, audience)
                    continue
                await self._send(chat_id, chat, frames)
            elif stay is not None:
                self._tell_stay(chat_id, chat)
            elif self._session.catching is not None:
                self._session.catching.end(chat_id)

    async def _missed(self, chat_id: str, seq: int, end: int) -> list[tuple[int, bytes]]:
        """(seq, frame) of what comes after `seq` up to `end`. Raises TooMuch."""
        frames: list[tuple[int, bytes]] = []
        views = self._shared.views
        while seq < end:
            if self._events >= MAX_EVENTS or self._bytes >= MAX_BYTES:
                raise TooMuch
            page = await self._persist(partial(views.entries_after, chat_id, seq, MAX_PER_CHAT))
            entries = [entry for entry in page.entries if entry.seq <= end]
            if not entries or entries[0].seq != seq + 1:
                await retry_pause(self._shared, 0)
                continue
            await self._persist(partial(self._shared.sealer.warm, _authors(entries)))
            for entry in entries:
                frame = event_frame(entry, data_of(entry), self._shared.sealer, self._shared.counters)
                self._events += 1
                self._bytes += len(frame)
                if self._events > MAX_EVENTS or self._bytes > MAX_BYTES:
                    raise TooMuch
                frames.append((entry.seq, frame))
                seq = entry.seq
        return frames

    async def _send(self, chat_id: str, chat: CatchUp, frames: Sequence[tuple[int, bytes]]) -> None:
        link = self._session.link
        for index, (seq, frame) in enumerate(frames):
            if index % DRAIN_EVERY == 0 and link.is_blocked:
                await link.drained()
            if self._is_over(chat_id, chat):
                return
            link.send(frame)
            chat.seq = seq

    def _tell_stay(self, chat_id: str, chat: CatchUp) -> None:
        """The user left here; and may be back."""
        stay = chat.stays.pop(0)
        self._session.link.send(encode(Gone(chat_id)))
        if stay.again:
            self._session.link.send(stay.welcome)
            chat.seq = stay.again - 1
        elif self._session.catching is not None:
            self._session.catching.end(chat_id)

    def _give_up(self, chat_id: str, chat: CatchUp, audience: Audience | None) -> None:
        """Go live at the cursor; what lies before is the client's to fetch."""
        if chat.stays:
            chat.seq = chat.stays[0].left_seq
            return
        if audience is not None and self._user.chats.get(chat_id) is audience:
            self._session.link.send(encode(Limited(chat_id, audience.cursor)))
            if self._session.catching is not None:
                self._session.catching.end(chat_id)

    def _is_over(self, chat_id: str, chat: CatchUp) -> bool:
        """Whether the session has ended, or is live in this chat."""
        catching = self._session.catching
        return catching is None or catching.chats.get(chat_id) is not chat

    async def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await persist(self._shared, f"a replay for user {self._user.user_id}", ask)


def _authors(entries: Sequence[Entry]) -> set[str]:
    return {entry.actor_id for entry in entries if entry.type == "message.sent"}
