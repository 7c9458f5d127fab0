"""Who is connected to this gateway, and what everything in it shares."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from api.ws.counters import Counters
from api.ws.limits import OUR_ERROR
from commands.chat import Chat
from commands.sealing import Sealer
from commands.timers import Timers
from projections.ports import FirstUse, Page, Summary

if TYPE_CHECKING:
    from api.ws.audience import Audience
    from api.ws.catching import CatchingUp

Mutes = Callable[[str, Collection[str]], Awaitable[Mapping[str, datetime]]]
"""(user id, chat ids) → when the mute ends, for those that the user has muted. Raises Unavailable."""

READS_AT_ONCE = 32

log = logging.getLogger(__name__)


class Views(Protocol):
    """The part of ChatViews that a gateway reads."""

    async def chat(self, chat_id: str) -> Chat | None: ...

    async def chats_of(self, user_id: str) -> list[str]: ...

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]: ...

    async def entries_after(self, chat_id: str, seq: int, limit: int) -> Page: ...

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None: ...


class Link(Protocol):
    """A socket as a session sees it. Frames are whole WebSocket frames, header included."""

    def send(self, frame: bytes) -> None:
        """Queue a frame; silent once closed. Never ends the session before it returns."""

    def ping(self) -> None: ...

    def close(self, code: int, reason: str, *, drop: bool = False) -> None:
        """Say goodbye after what waits, or instead of it. Nothing is sent afterwards."""

    @property
    def is_blocked(self) -> bool:
        """Whether the socket takes no more for now."""

    async def drained(self) -> None:
        """Return when the socket takes more again, or is gone."""


TYPED_AT_ONCE = 20
"""Chats of one user for which it is noted; those of which the time has passed are forgotten then."""


class LocalSession(Protocol):
    """What chats need to know of a connected session."""

    link: Link
    session_id: str
    """The sign-in that it belongs to."""
    catching: CatchingUp | None
    """Chats in which this session does not stand where the gateway stands; None is the usual case."""

    def catch_up(self, chat_id: str, seq: int) -> None:
        """Tell this session everything after `seq` from the views, before it goes live in the chat."""

    def close(self, code: int, reason: str) -> None:
        """End the session."""


def spoiled(session: LocalSession) -> None:
    """Called where an exception is being handled: this session could not be told something that it must not miss,
    so it ends, and the client comes back and resumes. Later, because whoever tells may be telling many."""
    log.exception("a session could not be told; it ends, and the others go on")
    asyncio.get_running_loop().call_soon(_end, session)


def _end(session: LocalSession) -> None:
    try:
        session.close(OUR_ERROR, "our error")
    except Exception:
        log.exception("a session could not be ended")


class User:
    """Somebody with a session here, or with one that is just connecting."""

    __slots__ = ("chats", "connecting", "sessions", "typed", "user_id")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.sessions: list[LocalSession] = []
        """Open ones, the oldest first."""
        self.connecting = 0
        self.chats: dict[str, Audience] = {}
        """The chats that the user is in, each as of its own cursor."""
        self.typed: dict[str, float] | None = None
        """Chat → when the user's typing in it was passed on last, by the timers' clock; None before the first."""

    def may_type(self, chat_id: str, now: float, every_s: float) -> bool:
        """Whether typing is passed on now, as it is once in `every_s` for each chat, from whichever session."""
        if self.typed is None:
            self.typed = {}
        if now - self.typed.get(chat_id, -every_s) < every_s:
            return False
        if len(self.typed) >= TYPED_AT_ONCE:
            self.typed = {chat: at for chat, at in self.typed.items() if now - at < every_s}
            if len(self.typed) >= TYPED_AT_ONCE:
                return False  # nobody types in so many chats at once
        self.typed[chat_id] = now
        return True


@dataclass(slots=True)
class Shared:
    """What all chats of a gateway share."""

    views: Views
    sealer: Sealer
    timers: Timers
    mutes: Mutes
    counters: Counters
    clock: Callable[[], float] = time.time
    """Seconds since 1970, for measuring alone."""
    users: dict[str, User] = field(default_factory=dict)
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_AT_ONCE))
    """Bounds how many chats read the views at once after an outage."""
