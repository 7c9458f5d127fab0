"""Whose presence the sessions here want to know, and telling them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from api.presence import Acquaintance, Presence
from api.presence.queries import NOT_TOLD, PresenceQueries, PresenceShape, presence_shape
from api.ws.frames import Ack, PresenceFrame, Watch, encode
from api.ws.local import spoiled
from commands.errors import RateLimited, Unavailable
from commands.isolation import left_out
from commands.timers import Timers, pause
from streams.ports import Fanout

if TYPE_CHECKING:
    from api.ws.session import Session

log = logging.getLogger(__name__)

RETRY_S = 1.0
RETRY_AFTER_MS = 500


class Watchers:
    """One index for all sessions of the gateway: watched user → those who watch."""

    def __init__(self, store: Presence, acquaintance: Acquaintance, fanout: Fanout, timers: Timers) -> None:
        self._store = store
        self._acquaintance = acquaintance
        self._queries = PresenceQueries(store, acquaintance)
        self._fanout = fanout
        self._timers = timers
        self._by_user: dict[str, set[Session]] = {}
        self._watched: dict[Session, frozenset[str]] = {}
        self._changed: set[str] = set()
        self._telling: asyncio.Task[None] | None = None
        self._bus = asyncio.Lock()
        self._announced: frozenset[str] = frozenset()

    def start(self, session: Session, frame: Watch) -> None:
        """Replace the set that a session watches. Raises RateLimited while it is still being replaced."""
        if session.watching is not None:
            raise RateLimited("the last presence.watch is still under way", retry_after_ms=RETRY_AFTER_MS)
        task = asyncio.get_running_loop().create_task(self._replace(session, frame))
        session.watching = task

    def changed(self, user_id: str) -> None:
        """The presence of a watched user may have changed."""
        if user_id in self._by_user:
            self._changed.add(user_id)
            if self._telling is None:
                self._telling = asyncio.get_running_loop().create_task(self._tell())

    def remove(self, session: Session) -> None:
        """The session is over. The bus hears of it with the next change."""
        self._index(session, frozenset())

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _replace(self, session: Session, frame: Watch) -> None:
        try:
            self._index(session, frozenset(frame.user_ids))
            # Subscribed first and asked afterwards, so nothing that changes in between is missed.
            await self._announce()
            shapes = await self._queries.query(session.user_id, frame.user_ids)
            session.tell(Ack(frame.id))
            for shape in shapes:
                session.link.send(_frame(shape))
        except Unavailable as error:
            session.refuse(frame.id, error)
        except Exception:
            log.exception(
                "a watch of user %s failed",
                session.user_id,
                extra={"user_id": session.user_id, "session_id": session.session_id},
            )
            session.broke()
        finally:
            session.watching = None

    def _index(self, session: Session, watched: frozenset[str]) -> None:
        before = self._watched.pop(session, frozenset())
        for user_id in before - watched:
            watching = self._by_user[user_id]
            watching.discard(session)
            if not watching:
                del self._by_user[user_id]
        for user_id in watched - before:
            self._by_user.setdefault(user_id, set()).add(session)
        if watched:
            self._watched[session] = watched

    async def _announce(self) -> None:
        """Tell the bus whom anybody here watches; what piled up while it was being told goes together."""
        async with self._bus:
            watched = frozenset(self._by_user)
            if not watched <= self._announced:
                await self._fanout.watch(watched)
                self._announced = watched

    async def _tell(self) -> None:
        try:
            while self._changed:
                changed, self._changed = self._changed, set()
                try:
                    await self._tell_of(changed)
                except Unavailable:
                    log.warning("presence is not available", exc_info=True)
                    self._changed |= changed
                    await pause(self._timers, RETRY_S)
                except Exception:
                    log.exception("the presence of %d users could not be told", len(changed))
        finally:
            self._telling = None

    async def _tell_of(self, changed: Collection[str]) -> None:
        wanted: dict[Session, set[str]] = {}
        for user_id in changed:
            for session in self._by_user.get(user_id, ()):
                wanted.setdefault(session, set()).add(user_id)
        allowed: dict[Session, set[str]] = {}
        for session, user_ids in wanted.items():
            try:
                allowed[session] = await self._acquaintance.of(session.user_id, user_ids)
            except Unavailable:
                raise
            except Exception:
                left_out("asking whose presence somebody may see")
        seen = await self._store.query(changed)
        frames = {user_id: _frame(presence_shape(user_id, seen.get(user_id, NOT_TOLD))) for user_id in changed}
        for session, user_ids in allowed.items():
            for user_id in user_ids & self._watched.get(session, frozenset()):
                try:
                    session.link.send(frames[user_id])
                except Exception:
                    spoiled(session)


def _frame(shape: PresenceShape) -> bytes:
    return encode(PresenceFrame(shape.user_id, shape.status, shape.last_seen))
