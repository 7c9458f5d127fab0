"""The gateway as the composition root sees it: it makes a session for each socket, and ends them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Protocol

from msgspec import UNSET

from api.presence import Acquaintance, PresenceTracker
from api.ratelimit import RateLimit
from api.ws.caretaker import Caretaker
from api.ws.hub import Hub
from api.ws.limits import BAD_TOKEN, REPLACED, Limits
from api.ws.local import Link, User
from api.ws.session import Session
from api.ws.watching import Watchers
from api.ws.wheel import Wheel
from commands.handlers import Commands
from commands.isolation import for_each, left_out
from commands.receipts import Receipts
from commands.sessions import Tokens
from commands.timers import Timers

log = logging.getLogger(__name__)


class Rates(Protocol):
    """What one user may do, over HTTP and all sockets together."""

    @property
    def sends(self) -> RateLimit: ...

    @property
    def marks(self) -> RateLimit: ...

    @property
    def commands(self) -> RateLimit: ...


class Gateway:
    """One for a process."""

    def __init__(
        self,
        hub: Hub,
        commands: Commands,
        receipts: Receipts,
        presence: PresenceTracker,
        acquaintance: Acquaintance,
        tokens: Tokens,
        rates: Rates,
        timers: Timers,
        now: Callable[[], datetime],
        *,
        limits: Limits | None = None,
        incarnation: str | None = None,
    ) -> None:
        """`incarnation`: of the log, of which clients are told a digest; None: nothing."""
        self.hub = hub
        self.commands = commands
        self.receipts = receipts
        self.presence = presence
        self.tokens = tokens
        self.rates = rates
        self.timers = timers
        self.now = now
        self.limits = limits or Limits()
        self.incarnation = UNSET if incarnation is None else sha256(incarnation.encode()).hexdigest()[:16]
        self.counters = hub.shared.counters
        self.watchers = Watchers(presence.store, acquaintance, hub.fanout, timers)
        self.wheel: Wheel[Session] = Wheel(timers, Session.due)
        self.sessions: set[Session] = set()
        self.draining = False
        self._caretaker = Caretaker(hub)
        acquaintance.locally = hub.chats_of_connected
        hub.presence_changed = self.watchers.changed

    async def start(self) -> None:
        """Begin to listen to fan-out."""
        self.hub.fanout.attach(self.hub)
        await self.presence.start()
        self._caretaker.start()

    async def stop(self) -> None:
        """End every session and everything that runs beside them."""
        self.drain()
        for part in (self.receipts.close, self._caretaker.stop, self.watchers.stop, self.presence.stop):
            try:
                await part()
            except Exception:
                left_out("ending a part of the gateway")
        self.hub.stop()

    def accept(self, link: Link) -> Session:
        """A socket has opened."""
        session = Session(self, link)
        self.sessions.add(session)
        self.counters.connects += 1
        self.counters.sessions += 1
        return session

    def drain(self, reason: str = "the server restarts") -> None:
        """Send every client elsewhere; from now on none is accepted. What they were promised is answered first."""
        self.draining = True
        for_each("sending a client elsewhere", self.sessions, lambda session: session.leave(reason))

    def session_ended(self, session_id: str, user_id: str) -> None:
        """A sign-in is over (logout, new password, erasure): so are its sockets. Those that are just connecting
        show their token once more before they open."""
        user = self.hub.users.get(user_id)
        its_own = [] if user is None else [each for each in user.sessions if each.session_id == session_id]
        for_each("ending a socket", its_own, lambda session: session.close(BAD_TOKEN, "this session has ended"))

    def joined(self, session: Session, user: User) -> None:
        """A session has opened: it counts as presence, and may be one too many."""
        self.presence.begin(user.user_id)
        if len(user.sessions) > self.limits.sessions_per_user:
            user.sessions[0].close(REPLACED, "too many sessions of this user")

    def ended(self, session: Session, *, clean: bool) -> None:
        """A session is over, whoever ended it."""
        if session not in self.sessions:
            return
        self.sessions.discard(session)
        self.counters.sessions -= 1
        leave: list[Callable[[], None]] = [
            partial(self.wheel.discard, session),
            partial(self.watchers.remove, session),
        ]
        if session.user is not None:
            leave += [
                partial(self.hub.leave, session.user, session),
                partial(self.presence.end, session.user_id, session.status, clean=clean),
            ]
        for_each("taking a session out of a list", leave, lambda take_out: take_out())
