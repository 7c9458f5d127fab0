"""What this gateway has subscribed to at the fan-out bus, changed in as few calls as there is time for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from streams.ports import Fanout


class Subscriptions:
    """While one call is under way, everything asked for meanwhile waits for the next, together."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._lock = asyncio.Lock()
        self._chats: set[str] = set()
        self._users: set[str] = set()
        self._wanted_chats: set[str] = set()
        self._wanted_users: set[str] = set()
        self._unwanted_chats: set[str] = set()
        self._unwanted_users: set[str] = set()

    async def add(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        """Return once everything published from now on arrives. Raises Unavailable."""
        self._unwanted_chats.difference_update(chats)
        self._unwanted_users.difference_update(users)
        if self._chats.issuperset(chats) and self._users.issuperset(users):
            return
        self._wanted_chats.update(chats)
        self._wanted_users.update(users)
        async with self._lock:
            more_chats, more_users = self._wanted_chats - self._chats, self._wanted_users - self._users
            if more_chats or more_users:
                await self._fanout.subscribe(chats=more_chats, users=more_users)
                self._chats |= more_chats
                self._users |= more_users
                self._wanted_chats -= more_chats
                self._wanted_users -= more_users

    def drop(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        """Nobody here needs these any more; `flush` tells the bus."""
        self._unwanted_chats.update(chats)
        self._unwanted_users.update(users)

    async def flush(self) -> None:
        """Unsubscribe from what was dropped and not asked for again. Raises Unavailable."""
        if not self._unwanted_chats and not self._unwanted_users:
            return
        async with self._lock:
            chats, users = self._unwanted_chats & self._chats, self._unwanted_users & self._users
            self._unwanted_chats.clear()
            self._unwanted_users.clear()
            # From here on an `add` finds them missing and waits for the lock.
            self._chats -= chats
            self._users -= users
            await self._fanout.unsubscribe(chats=chats, users=users)
