"""One connection to Redis, in RESP3: commands go out in a row, their answers come back in the same order, and pushed
messages come in between.

An `asyncio.Protocol` over hiredis, because what every gateway does for every message must be cheap: about 4 µs a
message with its dispatch, where redis-py's `listen` takes 27 (ADR 0022).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from hiredis import ProtocolError, PushNotification, Reader, ReplyError, pack_command

from commands.errors import Unavailable
from infra.redis.address import Address

Part = str | bytes | int | float
Command = tuple[Part, ...]

HIGH_BYTES = 1024 * 1024
"""With more than this waiting to be sent, whoever can should wait."""
_MORE = object()
_PASSING = frozenset(
    ("LOADING", "BUSY", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "NOSCRIPT")
)
"""Errors that say something about the server's state, not about the command."""

log = logging.getLogger(__name__)


class RedisFault(Exception):
    """Redis refused a command that should never have been sent: a defect, or a server too old."""


class _Waiting:
    """Who waits for the next `left` answers; without a future nobody does."""

    __slots__ = ("answers", "future", "left")

    def __init__(self, left: int, future: asyncio.Future[list[Any]] | None) -> None:
        self.left = left
        self.future = future
        self.answers: list[Any] = []


class Line(asyncio.Protocol):
    """`pushed` is called with each message that Redis pushes, `lost` once when the connection is over.

    A server that owes an answer and says nothing for `patience_s` to twice that is taken to be away: the connection
    ends, and with it everything that waits.
    """

    def __init__(self, *, pushed: Callable[[list[Any]], None], lost: Callable[[], None], patience_s: float) -> None:
        self._pushed = pushed
        self._lost = lost
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(notEnoughData=_MORE)
        self._waiting: deque[_Waiting] = deque()
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._silent = False
        self._room = asyncio.Event()
        self._room.set()
        self.is_open = False
        self.refused = 0
        """Commands of `post` that Redis answered with an error."""

    # --- Asking -----------------------------------------------------------------------------------------------

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, in order; errors stand in their places as `ReplyError`. Raises Unavailable."""
        if not commands:
            return []
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._send(b"".join(map(pack, commands)), _Waiting(len(commands), future))
        return await future

    def post(self, packed: bytes, count: int) -> None:
        """Send packed commands, one or more, whose answers nobody waits for."""
        self._send(packed, _Waiting(count, None))

    def send(self, packed: bytes) -> None:
        """Send packed commands that Redis answers by pushes alone."""
        if self._transport is not None and self.is_open:
            self._transport.write(packed)

    async def room(self) -> None:
        """Return when not too much waits to be sent, or the connection is over."""
        await self._room.wait()

    @property
    def is_crowded(self) -> bool:
        return not self._room.is_set()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, packed: bytes, waiting: _Waiting) -> None:
        if self._transport is None or not self.is_open:
            raise Unavailable("Redis is away")
        self._transport.write(packed)
        self._waiting.append(waiting)
        if self._watch is None:
            self._silent = False
            self._watch = self._loop.call_later(self._patience_s, self._look)

    def _look(self) -> None:
        """Once in `patience_s` while an answer is owed."""
        self._watch = None
        if not self._waiting:
            return
        if self._silent:
            self.abort()
            return
        self._silent = True
        self._watch = self._loop.call_later(self._patience_s, self._look)

    # --- asyncio.Protocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_BYTES)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._silent = False
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (item := gets()) is not _MORE:
                if type(item) is PushNotification:
                    self._pushed(item)
                else:
                    self._answer(item)
        except ProtocolError:
            self.abort()

    def _answer(self, item: Any) -> None:
        if not self._waiting:
            # Redis answered what it should have answered by a push: from here on nothing is in order.
            log.error("Redis answered unasked: %r", item)
            self.abort()
            return
        first = self._waiting[0]
        first.left -= 1
        if first.future is not None:
            first.answers.append(item)
        elif type(item) is ReplyError:
            if not self.refused:
                log.warning("Redis refuses what nobody waits for: %s", item)
            self.refused += 1
        if first.left == 0:
            self._waiting.popleft()
            if first.future is not None and not first.future.done():
                first.future.set_result(first.answers)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._room.set()
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if each.future is not None and not each.future.done():
                each.future.set_exception(Unavailable("Redis went away before it answered"))
        self._lost()


def pack(command: Command) -> bytes:
    """A command as it goes over the wire."""
    return cast(bytes, pack_command(command))  # type: ignore[arg-type]  # its stub knows tuples of one


def pack_all(commands: Iterable[Command]) -> bytes:
    return b"".join(map(pack, commands))


def check(answer: Any) -> Any:
    """The answer, if it is none of the errors. Raises Unavailable for what passes, RedisFault for what does not."""
    if isinstance(answer, ReplyError):
        code = str(answer).partition(" ")[0]
        if code in _PASSING:
            raise Unavailable(f"Redis is not ready: {answer}")
        raise RedisFault(str(answer))
    return answer


async def connect(
    address: Address,
    *,
    name: str,
    pushed: Callable[[list[Any]], None],
    lost: Callable[[], None],
    patience_s: float,
) -> tuple[Line, int]:
    """An open line, and the server's major version. Raises Unavailable, RedisFault."""
    loop = asyncio.get_running_loop()

    def make() -> Line:
        return Line(pushed=pushed, lost=lost, patience_s=patience_s)

    line: Line | None = None
    try:
        async with asyncio.timeout(patience_s):
            if address.path is not None:
                _, line = await loop.create_unix_connection(make, address.path)
            else:
                _, line = await loop.create_connection(make, address.host, address.port, ssl=address.tls or None)
            hello: Command = ("HELLO", 3, "SETNAME", name)
            if address.password is not None:
                hello = (*hello, "AUTH", address.username or "default", address.password)
            greeting, *_ = map(check, await line.run([hello, ("SELECT", address.database)]))
    except OSError as error:
        if line is not None:
            line.abort()
        raise Unavailable(f"Redis at {address.name} cannot be reached: {error or type(error).__name__}") from error
    except (Unavailable, RedisFault):
        if line is not None:
            line.abort()
        raise
    return line, int(greeting[b"version"].split(b".")[0])
