"""One connection's session: a state machine fed with frames and deadlines, which knows neither sockets nor asyncio
transports. What it has to say goes to its `link`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from api.errors import error_fields
from api.presence import SessionStatus
from api.ws.catching import CatchingUp, CatchUp
from api.ws.connecting import connect
from api.ws.frames import AnyClientFrame, Connect, Error, Malformed, Reconnect, Refused, ServerFrame, decode, encode
from api.ws.lane import Lane
from api.ws.limits import (
    BAD_TOKEN,
    DRAINED,
    FLOODING,
    GOING_AWAY,
    MALFORMED,
    NO_CONNECT,
    OUR_ERROR,
    TOO_SLOW,
)
from api.ws.local import Link, User
from api.ws.replay import Replay
from api.ws.requests import HANDLERS
from commands.errors import BadToken, TidingsError
from commands.sessions import Claims

if TYPE_CHECKING:
    from api.ws.gateway import Gateway

log = logging.getLogger(__name__)

NEW, CONNECTING, OPEN, CLOSED, LEAVING = range(5)
"""Leaving: it takes nothing more, and closes when everything that it took has its answer."""


class Session:
    """`link` is its socket. The transport calls `received`, `received_binary`, `heard`, `overflowed` and `closed`."""

    __slots__ = (
        "_early",
        "_expires_at",
        "_full_at",
        "_heard",
        "_missed",
        "_ping_at",
        "_state",
        "_task",
        "catching",
        "gateway",
        "lane",
        "link",
        "session_id",
        "status",
        "unanswered",
        "user",
        "user_id",
        "watching",
    )

    def __init__(self, gateway: Gateway, link: Link) -> None:
        self.gateway = gateway
        self.link = link
        self.user_id = ""
        self.session_id = ""
        """The sign-in that the token belongs to."""
        self.user: User | None = None
        """Set while the session is open."""
        self.status: SessionStatus = "online"
        self.catching: CatchingUp | None = None
        self.lane: Lane | None = None
        self.watching: asyncio.Task[None] | None = None
        self.unanswered = 0
        """Commands that the client waits to hear of."""
        self._state = NEW
        self._expires_at = 0.0
        self._ping_at = 0.0
        self._full_at = 0.0
        """When the flood limit's bucket will be full again."""
        self._heard = True
        self._missed = 0
        self._early: list[AnyClientFrame | Refused] | None = None
        """What came before `connected` was said."""
        self._task: asyncio.Task[None] | None = None
        """Connecting, later replaying."""
        gateway.wheel.set(self, gateway.limits.connect_s)

    # --- What the transport brings ------------------------------------------------------------------------

    def received(self, raw: bytes) -> None:
        """A text message, whole."""
        state = self._state
        if state >= CLOSED:
            return
        self._heard = True
        gateway = self.gateway
        gateway.counters.frames_in += 1
        if not self._admit(gateway.timers.time(), len(raw)):
            self.close(FLOODING, "too many frames")
            return
        try:
            frame = decode(raw)
        except Malformed as error:
            self.close(MALFORMED, str(error))
            return
        if state == OPEN:
            self._handle(frame)
        elif state == CONNECTING and self._early is not None:
            self._early.append(frame)
            if len(self._early) > gateway.limits.waiting_commands:
                self.close(FLOODING, "too many frames before connected")
        elif isinstance(frame, Connect):
            self._connect(frame)
        elif isinstance(frame, Refused) and frame.type == "connect":
            self.refuse(frame.reply_to, frame.error)
        else:
            self.close(MALFORMED, "the first frame must be connect")

    def received_binary(self) -> None:
        """Anything but text."""
        self.close(MALFORMED, "frames are text")

    def heard(self) -> None:
        """A sign of life that is no message: a ping, a pong, a part of a message. It counts as a frame all the same."""
        if self._state >= CLOSED:
            return
        self._heard = True
        if not self._admit(self.gateway.timers.time(), 0):
            self.close(FLOODING, "too many frames")

    def overflowed(self) -> None:
        """The client does not read as fast as there is to tell."""
        self.close(TOO_SLOW, "too much is waiting", drop=True)

    def closed(self, code: int) -> None:
        """The connection is over: with the client's close code, or 1006 if it broke off."""
        if self._state != CLOSED:
            self._end(clean=code in (1000, GOING_AWAY))

    def due(self) -> None:
        """The deadline set at the gateway's wheel has come. Who cannot be looked after ends: else nothing would ever
        look whether the token has run out."""
        try:
            self._look()
        except Exception:
            log.exception("the heartbeat of user %s failed", self.user_id, extra={"user_id": self.user_id})
            self.broke()

    def _look(self) -> None:
        if self._state == NEW:
            self.close(NO_CONNECT, "no connect in time")
            return
        now = self.gateway.timers.time()
        if now >= self._expires_at:
            self.close(BAD_TOKEN, "the token has run out")
        elif now < self._ping_at:
            self._wait(now)
        else:
            self._missed = 0 if self._heard else self._missed + 1
            if self._missed >= self.gateway.limits.misses:
                self.close(GOING_AWAY, "no sign of life")
                return
            self._heard = False
            self._ping_at = now + self.gateway.limits.heartbeat_s
            self.link.ping()
            self._wait(now)

    # --- What the rest of the gateway decides -------------------------------------------------------------

    def tell(self, frame: ServerFrame) -> None:
        self.link.send(encode(frame))

    def refuse(self, reply_to: str | None, error: TidingsError) -> None:
        """Answer a frame with an error."""
        fields = error_fields(error, self.gateway.now())
        self.gateway.counters.errors[fields["code"]] += 1
        self.tell(Error(**fields) if reply_to is None else Error(**fields, reply_to=reply_to))

    def close(self, code: int, reason: str, *, drop: bool = False) -> None:
        """End the session from our side; `drop`: without what waits to be sent."""
        if self._state != CLOSED:
            self.gateway.counters.closes[code] += 1
            try:
                self.link.close(code, reason, drop=drop)
            except Exception:
                log.exception("a socket of user %s could not be told goodbye", self.user_id)
            self._end(clean=False)

    def leave(self, reason: str) -> None:
        """Send the client elsewhere, once it has every answer that it waits for or those take too long."""
        if self._state >= CLOSED:
            return
        self._state = LEAVING
        if self.unanswered > 0:
            self.gateway.timers.call_later(self.gateway.limits.leave_s, self._depart, reason)
        else:
            self._depart(reason)

    def answered(self) -> None:
        """One of the unanswered commands has its answer."""
        self.unanswered -= 1
        if self._state == LEAVING and self.unanswered <= 0:
            self._depart()

    def broke(self) -> None:
        """Something of ours failed that the client could not know of."""
        self.close(OUR_ERROR, "our error")

    def authenticate(self, claims: Claims) -> None:
        """The client has shown a token, the first or a newer one."""
        now = self.gateway.timers.time()
        self.user_id, self.session_id = claims.user_id, claims.session_id
        self._expires_at = now + (claims.expires_at - self.gateway.now()).total_seconds()
        if not self._ping_at:
            self._ping_at = now + self.gateway.limits.heartbeat_s
        self._wait(now)

    def open(self, user: User) -> None:
        """The session stands: take up what came while it was connecting, and tell what was missed."""
        self._task = None
        self.user = user
        self._state = OPEN
        early, self._early = self._early, None
        for frame in early or ():
            if self._state == OPEN:
                self._handle(frame)
        self._replay()

    def catch_up(self, chat_id: str, seq: int) -> None:
        """Tell everything after `seq` from the views, before the session goes live in the chat."""
        if self.catching is None:
            self.catching = CatchingUp(self)
        self.catching.chats[chat_id] = CatchUp(seq)
        self._replay()

    # --- Inside -------------------------------------------------------------------------------------------

    def _handle(self, frame: AnyClientFrame | Refused) -> None:
        try:
            if isinstance(frame, Refused):
                self.refuse(frame.reply_to, frame.error)
            else:
                HANDLERS[type(frame)](self, frame)
        except TidingsError as error:
            self.refuse(getattr(frame, "id", None), error)
        except Exception:
            log.exception(
                "a frame of user %s failed",
                self.user_id,
                extra={
                    "user_id": self.user_id,
                    "session_id": self.session_id,
                    "chat_id": getattr(frame, "chat_id", None),
                    "request_id": getattr(frame, "id", None),
                },
            )
            self.broke()

    def _connect(self, frame: Connect) -> None:
        try:
            claims = self.gateway.tokens.verify(frame.token)
        except BadToken as error:
            self.close(BAD_TOKEN, str(error))
            return
        self._state = CONNECTING
        self._early = []
        self.authenticate(claims)
        self._task = self._run(connect(self, frame))

    def _replay(self) -> None:
        """Work off `catching`, unless that is under way."""
        if self._task is None and self.user is not None and self.catching is not None and self.catching.is_waiting:
            self._task = self._run(Replay(self.gateway.hub.shared, self.user, self).run())

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ran)
        return task

    def _ran(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error(
                "work for user %s failed",
                self.user_id,
                exc_info=task.exception(),
                extra={"user_id": self.user_id, "session_id": self.session_id},
            )
            self.broke()
        else:
            self._replay()

    def _depart(self, reason: str = "the server restarts") -> None:
        if self._state == LEAVING:
            limits = self.gateway.limits
            # At a random time, so that not all come back at once.
            try:
                self.tell(Reconnect(int(random.uniform(0, limits.reconnect_spread_s) * 1000), reason))
            except Exception:
                log.exception("user %s could not be told to come back", self.user_id)
            self.close(DRAINED, reason)

    def _admit(self, now: float, size: int) -> bool:
        """The flood limit, by GCRA: one number for each connection. A large frame counts as several; who has not said
        yet who they are may send a few."""
        limits = self.gateway.limits
        full_at = max(self._full_at, now) + (1 + size // limits.flood_bytes) / limits.flood_rate
        self._full_at = full_at
        burst = limits.flood_burst if self._state != NEW else limits.flood_burst_before
        return full_at - now <= burst / limits.flood_rate

    def _wait(self, now: float) -> None:
        self.gateway.wheel.set(self, min(self._ping_at, self._expires_at) - now)

    def _end(self, *, clean: bool) -> None:
        self._state = CLOSED
        self.catching = None
        self._early = None
        for task in (self._task, self.watching):
            if task is not None:
                task.cancel()
        self.gateway.ended(self, clean=clean)
        self.user = None
