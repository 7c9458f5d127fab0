"""Channels of Redis, by sharded pub/sub where the server has it (7 and later), else by the plain kind.

One line listens, another one publishes. Redis forgets a message as soon as it is sent, so after every break of the
listening line there may be a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from commands.errors import Unavailable
from commands.isolation import for_each, left_out
from infra.redis.address import Address
from infra.redis.connection import PATIENCE_S, Connection
from infra.redis.line import Command, Line, check, pack

SHARDED_SINCE = 7
AT_ONCE = 500
"""Channels named in one command."""
PING_S = 0.5
_LEFT = frozenset((b"sunsubscribe", b"unsubscribe"))

Heard = Callable[[bytes], None]
"""Called with the payload, on the event loop. Must neither block nor raise."""


Message = tuple[bytes, bytes]
"""Channel and payload."""


class Bus:
    """What is subscribed to stays so, whatever becomes of the connection.

    `reconnected`: who is told that messages may have been lost until just now; called as handlers are.
    """

    def __init__(self, address: Address, *, name: str, patience_s: float = PATIENCE_S) -> None:
        self.reconnected: list[Callable[[], None]] = []
        self._handlers: dict[bytes, Heard] = {}
        self._kind = b"smessage"
        self._sharded = True
        self._line: Line | None = None
        """The listening line, from when the wanted channels were named on it."""
        self._leaving: dict[bytes, int] = {}
        """Channel → how often it was given up without Redis having said so yet."""
        self._confirming = 0
        self._listening = Connection(
            address, name=f"{name}-listens", prepare=self._subscribe_all, pushed=self._pushed, patience_s=patience_s
        )
        self._speaking = Connection(address, name=f"{name}-speaks", prepare=self._choose, patience_s=patience_s)
        self._pinging: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when connected, or when that failed for the first time."""
        await asyncio.gather(self._listening.start(), self._speaking.start())
        self._pinging = asyncio.get_running_loop().create_task(self._ping())

    async def stop(self) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)
        await asyncio.gather(self._listening.stop(), self._speaking.stop())

    # --- Listening --------------------------------------------------------------------------------------------

    async def subscribe(self, handlers: Mapping[bytes, Heard]) -> None:
        """Return once everything published from now on is heard; or, where Redis is away, once it is sure that
        `reconnected` will be told."""
        new = [channel for channel in handlers if channel not in self._handlers]
        self._handlers.update(handlers)
        line = self._line
        if line is None or not line.is_open or not (new or self._confirming):
            return
        self._name_channels(line, "SUBSCRIBE", new)
        await self._confirm(line)

    def unsubscribe(self, channels: Collection[bytes]) -> None:
        gone = [channel for channel in channels if self._handlers.pop(channel, None) is not None]
        if self._line is not None and self._line.is_open:
            self._name_channels(self._line, "UNSUBSCRIBE", gone)
            for channel in gone:
                self._leaving[channel] = self._leaving.get(channel, 0) + 1

    async def _subscribe_all(self, line: Line, version: int) -> None:
        await self._choose(line, version)
        self._line = line
        self._leaving.clear()
        had = bool(self._handlers)
        self._name_channels(line, "SUBSCRIBE", self._handlers)
        await self._ping_on(line)
        if had:
            for_each("telling of a new line to Redis", self.reconnected, lambda tell: tell())

    async def _confirm(self, line: Line) -> None:
        """Redis does one thing after the other: who has the answer to a ping is subscribed to all before it."""
        try:
            await self._ping_on(line)
        except Unavailable:
            # The line is over, or ends now; on the next one everything is named anew.
            line.abort()

    async def _ping_on(self, line: Line) -> None:
        self._confirming += 1
        try:
            for answer in await line.run([("PING",)]):
                check(answer)
        finally:
            self._confirming -= 1

    def _name_channels(self, line: Line, command: str, channels: Iterable[bytes]) -> None:
        verb = f"S{command}" if self._sharded else command
        rest = iter(list(channels))
        while some := list(islice(rest, AT_ONCE)):
            line.send(pack((verb, *some)))

    async def _choose(self, line: Line, version: int) -> None:
        self._sharded = version >= SHARDED_SINCE
        self._kind = b"smessage" if self._sharded else b"message"

    def _pushed(self, message: list[Any]) -> None:
        if message[0] == self._kind:
            handler = self._handlers.get(message[1])
            if handler is not None:
                try:
                    handler(message[2])
                except Exception:  # else it would end the line, and what others wait for on it
                    left_out("taking a message from Redis")
        elif message[0] in _LEFT:
            left = self._leaving.pop(message[1], 0)
            if left > 1:
                self._leaving[message[1]] = left - 1
            elif not left and self._line is not None:
                # The server gave the channel away without being asked, to another server of its cluster.
                self._line.abort()

    async def _ping(self) -> None:
        """So that a server which says nothing is noticed even where nobody asks anything."""
        while True:
            await asyncio.sleep(PING_S)
            for connection in (self._listening, self._speaking):
                if connection.is_up:
                    connection.post([("PING",)])

    # --- Speaking ---------------------------------------------------------------------------------------------

    def post(self, messages: Sequence[Message]) -> bool:
        """Publish without waiting. False if Redis is away; true promises nothing."""
        return self._speaking.post(self._publications(messages))

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once Redis has handed them out. Raises Unavailable."""
        await self._speaking.run_all(self._publications(messages))

    async def room(self) -> None:
        """Return when not too much waits to be sent."""
        if self._speaking.is_up and self._speaking.line.is_crowded:
            await self._speaking.line.room()

    def _publications(self, messages: Sequence[Message]) -> list[Command]:
        verb = "SPUBLISH" if self._sharded else "PUBLISH"
        return [(verb, channel, payload) for channel, payload in messages]
