"""Presence for one process, in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from api.presence.port import ALIVE_S, TTL_S, Seen, SessionStatus


class _Word(NamedTuple):
    """What a gateway said of a user."""

    status: SessionStatus
    until: datetime


class _Gateway(NamedTuple):
    beat_at: datetime
    alive_until: datetime


class MemoryPresence:
    """Keeps the last sign of everybody who ever was here while the process lives, about 150 bytes each."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._gateways: dict[str, _Gateway] = {}
        self._words: dict[str, dict[str, _Word]] = {}
        """User → gateway → what it said."""
        self._last_seen: dict[str, datetime] = {}

    async def beat(self, gateway_id: str, alive_s: float = ALIVE_S) -> bool:
        now = self._now()
        before = self._gateways.get(gateway_id)
        self._gateways[gateway_id] = _Gateway(now, now + timedelta(seconds=alive_s))
        return before is not None and before.alive_until > now

    async def put(self, gateway_id: str, states: Mapping[str, SessionStatus]) -> None:
        now = self._now()
        until = now + timedelta(seconds=TTL_S)
        for user_id, status in states.items():
            self._words.setdefault(user_id, {})[gateway_id] = _Word(status, until)
            self._last_seen[user_id] = now

    async def drop(self, gateway_id: str, user_ids: Collection[str]) -> None:
        now = self._now()
        for user_id in user_ids:
            self._forget(user_id, gateway_id)
            self._last_seen[user_id] = now

    async def query(self, user_ids: Collection[str]) -> dict[str, Seen]:
        return {user_id: self._seen(user_id) for user_id in user_ids}

    async def sweep(self) -> list[str]:
        now = self._now()
        ended: list[tuple[str, str]] = []
        for user_id, words in self._words.items():
            ended += [(user_id, gateway_id) for gateway_id, word in words.items() if not self._counts(gateway_id, word)]
        for user_id, gateway_id in ended:
            gateway = self._gateways.get(gateway_id)
            if gateway is not None:
                self._last_seen[user_id] = max(self._last_seen.get(user_id, gateway.beat_at), gateway.beat_at)
            self._forget(user_id, gateway_id)
        self._gateways = {name: gateway for name, gateway in self._gateways.items() if gateway.alive_until > now}
        return list(dict.fromkeys(user_id for user_id, _ in ended))

    def _seen(self, user_id: str) -> Seen:
        last_seen = self._last_seen.get(user_id)
        words = self._words.get(user_id, {})
        for gateway_id in words:
            if gateway_id in self._gateways and last_seen is not None:
                last_seen = max(last_seen, self._gateways[gateway_id].beat_at)
        said = {word.status for gateway_id, word in words.items() if self._counts(gateway_id, word)}
        return Seen("online" if "online" in said else "away" if said else "offline", last_seen)

    def _counts(self, gateway_id: str, word: _Word) -> bool:
        gateway, now = self._gateways.get(gateway_id), self._now()
        return gateway is not None and gateway.alive_until > now and word.until > now

    def _forget(self, user_id: str, gateway_id: str) -> None:
        words = self._words.get(user_id, {})
        words.pop(gateway_id, None)
        if not words:
            self._words.pop(user_id, None)
