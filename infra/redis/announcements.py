"""Announcements over a channel of Redis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from commands.announcements import KeyDestroyed, News, SessionEnded
from commands.isolation import for_each
from infra.redis.bus import Bus
from infra.redis.wire import KeyGone, SessionOver, encode, news_messages, read

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class RedisAnnouncements:
    """Hears its own, too. The bus should have been started before `start`."""

    def __init__(self, bus: Bus, *, namespace: str) -> None:
        self.observers: list[Callable[[News], None]] = []
        self._bus = bus
        self._channel = f"tidings:{namespace}:news".encode()

    async def start(self) -> None:
        """From now on the observers hear."""
        await self._bus.subscribe({self._channel: self._heard})

    def tell(self, news: News) -> None:
        match news:
            case SessionEnded(session_id, user_id, at):
                message: SessionOver | KeyGone = SessionOver(session_id, user_id, (at - _EPOCH) // _US)
            case KeyDestroyed(user_id):
                message = KeyGone(user_id)
        self._bus.post([(self._channel, encode(message))])

    def _heard(self, payload: bytes) -> None:
        message = read(news_messages, payload)
        if message is None:
            return
        news: News
        if type(message) is SessionOver:
            news = SessionEnded(message.session_id, message.user_id, _EPOCH + message.at_us * _US)
        else:
            news = KeyDestroyed(message.user_id)
        for_each("telling news", self.observers, lambda tell: tell(news))
