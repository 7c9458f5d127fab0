"""What one process must tell all others of the installation at once, and what they do about it.

An announcement is a hint. Who misses it learns the same a little later by asking the stores, so a sign-in that was
ended, or a person who was erased, is so everywhere within seconds even while announcements do not arrive.
"""

from __future__ import annotations

import logging
from asyncio import sleep
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from commands.accounts import Accounts
from commands.errors import Unavailable
from commands.isolation import for_each
from commands.sealing import Sealer
from commands.sessions import EndedSessions, Sessions, SessionStore

POLL_S = 10.0
OVERLAP = timedelta(seconds=60)
"""How late an entry may become visible in a store, by slow commits and clocks that differ."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionEnded:
    session_id: str
    user_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class KeyDestroyed:
    """Everything that this user wrote reads as erased."""

    user_id: str


News = SessionEnded | KeyDestroyed


class Announcements(Protocol):
    observers: list[Callable[[News], None]]
    """Hear what other processes told, and perhaps this one. Must neither block nor raise."""

    def tell(self, news: News) -> None:
        """To all other processes that can be reached. Neither waits nor raises."""


class DestroyedKeys(Protocol):
    async def destroyed(self, after: datetime | None = None) -> Sequence[tuple[str, datetime]]:
        """User id and time of keys destroyed, of all or of those after a time. Raises Unavailable."""


class Newsroom:
    """Makes announcements of others hold in this process, and finds what was not heard."""

    def __init__(
        self,
        announcements: Announcements,
        sessions: SessionStore,
        keys: DestroyedKeys,
        ended: EndedSessions,
        sealer: Sealer,
        now: Callable[[], datetime],
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._ended = ended
        self._sealer = sealer
        self._now = now
        self._asked_at = now()
        self._announcements = announcements
        announcements.observers.append(self.hear)

    def speak_for(self, sessions: Sessions, accounts: Accounts) -> None:
        """Tell the others what these handlers of this process end and destroy."""
        tell = self._announcements.tell
        sessions.observers.append(lambda session_id, user_id, at: tell(SessionEnded(session_id, user_id, at)))
        accounts.observers.append(lambda user_id: tell(KeyDestroyed(user_id)))

    def hear(self, news: News) -> None:
        match news:
            case SessionEnded(session_id, user_id, at):
                self._ended.add(session_id, user_id, at)
            case KeyDestroyed(user_id):
                self._sealer.forget(user_id)

    async def ask(self) -> None:
        """Catch up on what happened since the last time. Raises Unavailable."""
        now = self._now()
        since = self._asked_at - OVERLAP
        ended = await self._sessions.ended_after(since)
        for_each("ending a sign-in that others ended", ended, lambda each: self._ended.add(*each))
        destroyed = await self._keys.destroyed(since)
        for_each("forgetting a destroyed key", destroyed, lambda each: self._sealer.forget(each[0]))
        self._asked_at = now

    async def run(self) -> None:
        """Ask for ever; the composition root runs this as a task and cancels it."""
        is_away = False
        while True:
            await sleep(POLL_S)
            try:
                await self.ask()
                is_away = False
            except Unavailable as error:
                if not is_away:
                    log.warning("ended sessions and destroyed keys cannot be asked for: %s", error)
                is_away = True
            except Exception:
                log.exception("ended sessions and destroyed keys cannot be asked for")
