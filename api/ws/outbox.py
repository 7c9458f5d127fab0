"""What waits to be written to one socket, and the one moment per loop tick when it is.

Frames of a tick are gathered and written once: an ack and one's own event share a system call. While the
socket takes no more they wait here, counted; who lets too much pile up is told so and closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from api.ws.counters import Counters
from commands.isolation import left_out

log = logging.getLogger(__name__)

MAX_FRAMES = 1_000
MAX_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
"""At most this much goes into the transport's own buffer at once, so that what waits is counted here."""


class Sink(Protocol):
    """The part of an asyncio transport that an outbox writes to."""

    def write(self, data: bytes) -> None: ...


class Flusher:
    """Writes all outboxes that got frames since the last tick. One for a whole gateway."""

    __slots__ = ("_dirty", "call_soon", "counters")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], counters: Counters | None = None) -> None:
        self.call_soon = call_soon
        self.counters = counters or Counters()
        self._dirty: list[Outbox] = []

    def add(self, outbox: Outbox) -> None:
        """Flush this outbox at the end of the tick."""
        if not self._dirty:
            self.call_soon(self._flush)
        self._dirty.append(outbox)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for outbox in dirty:
            try:
                outbox.flush()
            except Exception:
                left_out("writing to a socket")


class Outbox:
    """The queue of one socket. `pause` and `resume` are the transport's flow control. Nothing here raises because of
    the socket.

    `on_full` is called, once, when more than 1,000 frames or 8 MB wait, and `on_broken`, once, when the socket took a
    frame with an exception; what waited is gone by then. They come at the end of the tick, because whoever sends may
    be in the middle of telling many.
    """

    __slots__ = (
        "_drained",
        "_flusher",
        "_frames",
        "_full",
        "_on_broken",
        "_on_full",
        "_open",
        "_paused",
        "_queued",
        "_sink",
        "_size",
    )

    def __init__(
        self,
        sink: Sink,
        flusher: Flusher,
        on_full: Callable[[], None],
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink: Sink | None = sink
        self._flusher = flusher
        self._on_full = on_full
        self._on_broken = on_broken
        self._frames: list[bytes] = []
        self._size = 0
        """Bytes in `_frames`; kept only while paused."""
        self._open = True
        self._full = False
        self._queued = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None

    def send(self, frame: bytes) -> None:
        """Queue a whole WebSocket frame. Silent once finished."""
        if not self._open or self._full:
            return
        self._frames.append(frame)
        if self._paused:
            self._size += len(frame)
            if len(self._frames) > MAX_FRAMES or self._size > MAX_BYTES:
                self._full = True
                self._frames.clear()
                self._flusher.call_soon(self._on_full)
        elif not self._queued:
            self._queued = True
            self._flusher.add(self)

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it."""
        self._queued = False
        frames, sink = self._frames, self._sink
        if sink is None or not frames or self._paused:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        if len(data) <= CHUNK_BYTES:
            counters = self._flusher.counters
            counters.frames_out += len(frames)
            counters.bytes_out += len(data)
            frames.clear()
            self._write(sink, data)
        else:
            self._flush_in_parts(sink)

    def _flush_in_parts(self, sink: Sink) -> None:
        """Much waits: stop as soon as the transport says that it has enough."""
        done = 0
        while done < len(self._frames) and not self._paused:
            start, size = done, 0
            while done < len(self._frames) and size < CHUNK_BYTES:
                size += len(self._frames[done])
                done += 1
            if not self._write(sink, b"".join(self._frames[start:done])):
                return
            self._flusher.counters.bytes_out += size
        self._flusher.counters.frames_out += done
        del self._frames[:done]
        self._size = sum(map(len, self._frames)) if self._paused else 0

    def _write(self, sink: Sink, data: bytes) -> bool:
        try:
            sink.write(data)
        except Exception:
            log.exception("a socket took no more, and nobody had said so")
            self.abandon()
            self._flusher.call_soon(self._on_broken)
            return False
        return True

    def pause(self) -> None:
        """The transport holds enough."""
        self._paused = True
        self._size = sum(map(len, self._frames))

    def resume(self) -> None:
        """The transport takes more."""
        self._paused = False
        self.flush()
        if not self._paused:
            self._size = 0
            self._settle()

    @property
    def is_blocked(self) -> bool:
        """Whether the socket takes no more for now."""
        return self._paused

    async def drained(self) -> None:
        """Return when the socket takes more again, or is gone."""
        if self._paused and self._sink is not None:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def finish(self, last: bytes, *, drop: bool) -> None:
        """Send `last` and nothing more after it; `drop`: give up what waits before it."""
        if not self._open:
            return
        self._open = False
        if drop:
            self._frames.clear()
            if self._sink is not None:
                self._write(self._sink, last)
            return
        self._frames.append(last)
        self.flush()

    @property
    def is_done(self) -> bool:
        """Whether the last frame has been handed to the transport."""
        return not self._open and not self._frames

    def abandon(self) -> None:
        """The socket is gone."""
        self._open = False
        self._sink = None
        self._frames.clear()
        self._settle()

    def _settle(self) -> None:
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
