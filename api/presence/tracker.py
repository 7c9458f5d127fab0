"""What this gateway knows of its users' presence, and how the store and the watchers come to know it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from math import ceil

from api.presence.port import BEAT_S, SWEEP_S, TTL_S, Presence, SessionStatus
from commands.errors import Unavailable
from commands.isolation import for_each, left_out
from commands.timers import Cancellable, Timers, pause
from streams.ports import Fanout

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""Somebody whose last session broke off may be back this soon and was then never away."""
RENEW_S = TTL_S / 3
RETRY_S = 1.0


class _Here:
    __slots__ = ("away", "leaving", "online", "told")

    def __init__(self) -> None:
        self.online = 0
        self.away = 0
        self.told: SessionStatus | None = None
        """What the store has been told."""
        self.leaving: Cancellable | None = None
        """Runs while the grace does."""

    @property
    def status(self) -> SessionStatus | None:
        return "online" if self.online else "away" if self.away else None


class PresenceTracker:
    """Counts sessions for each user. Changes of one moment go to the store together, then to the watchers."""

    def __init__(self, store: Presence, fanout: Fanout, timers: Timers, *, gateway_id: str) -> None:
        self.store = store
        self._fanout = fanout
        self._timers = timers
        self._gateway_id = gateway_id
        self._users: dict[str, _Here] = {}
        self._changed: set[str] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._renewals: list[str] = []
        """Users whose status is still to be renewed in this round."""
        self._loops: list[asyncio.Task[None]] = []

    def begin(self, user_id: str) -> None:
        """A session of this user started, online."""
        here = self._users.get(user_id)
        if here is None:
            here = self._users[user_id] = _Here()
        here.online += 1
        if here.leaving is not None:
            here.leaving.cancel()
            here.leaving = None
        self._note(user_id, here)

    def change(self, user_id: str, before: SessionStatus, after: SessionStatus) -> None:
        """A session said that its user is away, or back."""
        if before == after:
            return
        here = self._users[user_id]
        step = 1 if after == "online" else -1
        here.online += step
        here.away -= step
        self._note(user_id, here)

    def end(self, user_id: str, status: SessionStatus, *, clean: bool) -> None:
        """A session that was last `status` is over; `clean`: the client said goodbye."""
        here = self._users[user_id]
        if status == "online":
            here.online -= 1
        else:
            here.away -= 1
        if here.status is None and not clean:
            here.leaving = self._timers.call_later(GRACE_S, self._leave, user_id)
        else:
            self._note(user_id, here)

    async def start(self) -> None:
        """Tell the store that this gateway lives, and go on doing so. A store that is away is told later."""
        try:
            await self.store.beat(self._gateway_id)
        except Unavailable:
            log.warning("presence is not available yet", exc_info=True)
        self._loops = [self._run(self._beat()), self._run(self._sweep())]

    async def stop(self) -> None:
        """End. Users connected here are offline after the grace, unless they come back elsewhere."""
        for task in self._loops:
            task.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        await asyncio.gather(*self._loops, *([self._flushing] if self._flushing else []), return_exceptions=True)
        leaving = [here.leaving for here in self._users.values() if here.leaving is not None]
        for_each("ending the wait for somebody's return", leaving, lambda timer: timer.cancel())
        try:
            await self.store.beat(self._gateway_id, GRACE_S)
        except Exception:
            log.warning("presence could not be told goodbye", exc_info=True)

    def _leave(self, user_id: str) -> None:
        here = self._users[user_id]
        here.leaving = None
        self._note(user_id, here)

    def _note(self, user_id: str, here: _Here) -> None:
        if here.status != here.told or here.status is None:
            self._changed.add(user_id)
            if self._flushing is None:
                self._flushing = self._run(self._flush())

    async def _flush(self) -> None:
        """Tell the store what changed, then the watchers; again while more does."""
        try:
            while self._changed:
                await self._flush_once()
        finally:
            self._flushing = None

    async def _flush_once(self) -> None:
        changed, self._changed = self._changed, set()
        puts: dict[str, SessionStatus] = {}
        drops: list[str] = []
        for user_id in changed:
            here = self._users.get(user_id)
            if here is None or here.leaving is not None:
                continue
            status = here.status
            if status is None:
                drops.append(user_id)
            elif status != here.told:
                puts[user_id] = status
        try:
            if puts:
                await self.store.put(self._gateway_id, puts)
            if drops:
                await self.store.drop(self._gateway_id, drops)
        except Exception as error:
            if isinstance(error, Unavailable):
                log.warning("presence is not available", exc_info=True)
            else:
                log.exception("presence could not be told")
            self._changed |= changed
            await pause(self._timers, RETRY_S)
            return
        for user_id in puts.keys() | set(drops):
            try:
                self._settle(user_id, puts.get(user_id))
                self._fanout.publish_presence(user_id)
            except Exception:
                left_out("telling of somebody's presence")

    def _settle(self, user_id: str, told: SessionStatus | None) -> None:
        """The store has been told; meanwhile it may have changed again."""
        here = self._users[user_id]
        here.told = told
        if here.status is None and here.leaving is None and told is None:
            del self._users[user_id]
        elif here.status != told:
            self._changed.add(user_id)

    async def _beat(self) -> None:
        """Say that the gateway lives, and renew what would run out."""
        lost = False
        while True:
            await pause(self._timers, BEAT_S)
            try:
                lost = not await self.store.beat(self._gateway_id) or lost
                await self._renew(everything=lost)
                lost = False
            except Unavailable:
                lost = True
                log.warning("presence is not available", exc_info=True)
            except Exception:
                lost = True
                log.exception("presence could not be renewed")

    async def _renew(self, *, everything: bool) -> None:
        """Renew a share of the users, so that each has its turn every ten minutes; or everybody, because the store
        may have forgotten all. Then watchers may have been told that they are offline."""
        if everything or not self._renewals:
            self._renewals = list(self._users)
        share = len(self._renewals) if everything else ceil(len(self._users) * BEAT_S / RENEW_S)
        some, self._renewals = self._renewals[:share], self._renewals[share:]
        told = ((user_id, self._users[user_id].told) for user_id in some if user_id in self._users)
        states = {user_id: status for user_id, status in told if status is not None}
        if states:
            await self.store.put(self._gateway_id, states)
        if everything:
            for_each("telling of somebody's presence", states, self._fanout.publish_presence)

    async def _sweep(self) -> None:
        while True:
            await pause(self._timers, SWEEP_S)
            try:
                ended = await self.store.sweep()
                for_each("telling of somebody's presence", ended, self._fanout.publish_presence)
            except Unavailable:
                log.warning("presence cannot be swept", exc_info=True)
            except Exception:
                log.exception("presence cannot be swept")

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)
