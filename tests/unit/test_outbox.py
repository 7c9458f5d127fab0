"""One write for each socket and tick; a bound on what waits; and a last frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from api.ws.outbox import CHUNK_BYTES, MAX_BYTES, MAX_FRAMES, Flusher, Outbox
from api.ws.wire import close_frame, pong_frame, text_frame


class Tick:
    """A loop's `call_soon`, in the test's hands."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def end(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Wire:
    """A transport that pauses once `room` bytes were written."""

    def __init__(self, room: int = 10**12) -> None:
        self.writes: list[bytes] = []
        self.room = room
        self.outbox: Outbox | None = None

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.room -= len(data)
        if self.room <= 0 and self.outbox is not None:
            self.outbox.pause()


class Case:
    def __init__(self, room: int = 10**12) -> None:
        self.tick = Tick()
        self.flusher = Flusher(self.tick.soon)
        self.overflows = 0
        self.wire, self.outbox = self.another(room)

    def another(self, room: int = 10**12) -> tuple[Wire, Outbox]:
        wire = Wire(room)
        wire.outbox = Outbox(wire, self.flusher, self.overflow)
        return wire, wire.outbox

    def overflow(self) -> None:
        self.overflows += 1
        self.outbox.finish(b"last", drop=True)


def test_frames_of_a_tick_are_written_once_for_each_socket() -> None:
    case = Case()
    wire, other = case.another()
    case.outbox.send(b"a")
    other.send(b"x")
    case.outbox.send(b"b")
    assert case.wire.writes == []
    assert len(case.tick.calls) == 1
    case.tick.end()
    assert (case.wire.writes, wire.writes) == ([b"ab"], [b"x"])
    case.outbox.send(b"c")
    case.tick.end()
    assert case.wire.writes == [b"ab", b"c"]


def test_a_burst_on_a_socket_that_takes_it_is_no_overflow() -> None:
    case = Case()
    for _ in range(MAX_FRAMES * 3):
        case.outbox.send(b"x" * 10_000)
    case.tick.end()
    assert case.overflows == 0
    assert sum(map(len, case.wire.writes)) == MAX_FRAMES * 3 * 10_000
    assert max(map(len, case.wire.writes)) < CHUNK_BYTES + 10_000


def test_writing_stops_as_soon_as_the_socket_has_enough_and_goes_on_when_it_has_not() -> None:
    case = Case(room=CHUNK_BYTES)
    for number in range(100):
        case.outbox.send(bytes([number]) * 10_000)
    case.tick.end()
    assert len(case.wire.writes) == 1
    assert case.outbox.is_blocked
    case.wire.room = 10**12
    case.outbox.resume()
    assert not case.outbox.is_blocked
    assert b"".join(case.wire.writes) == b"".join(bytes([number]) * 10_000 for number in range(100))


@pytest.mark.parametrize(("frame", "fits"), [(b"x", MAX_FRAMES), (b"x" * 1024 * 1024, MAX_BYTES // 1024 // 1024)])
def test_more_than_may_wait_is_told_once_and_dropped(frame: bytes, fits: int) -> None:
    case = Case()
    case.outbox.pause()
    for _ in range(fits):
        case.outbox.send(frame)
    case.tick.end()
    assert case.overflows == 0
    case.outbox.send(frame)
    case.outbox.send(frame)
    assert case.overflows == 0, "whoever sends may be in the middle of telling many"
    case.tick.end()
    assert case.overflows == 1
    assert case.wire.writes == [b"last"]
    case.outbox.resume()
    assert case.wire.writes == [b"last"]


def test_what_waited_before_the_pause_counts_too() -> None:
    case = Case()
    for _ in range(MAX_FRAMES):
        case.outbox.send(b"x")
    case.outbox.pause()
    case.outbox.send(b"x")
    case.tick.end()
    assert case.overflows == 1


def test_the_last_frame_follows_what_waits_and_nothing_follows_it() -> None:
    case = Case()
    case.outbox.send(b"a")
    case.outbox.finish(b"last", drop=False)
    case.outbox.send(b"late")
    case.outbox.finish(b"again", drop=True)
    case.tick.end()
    assert case.wire.writes == [b"alast"]


def test_on_a_blocked_socket_the_last_frame_waits_its_turn() -> None:
    case = Case()
    case.outbox.pause()
    case.outbox.send(b"a")
    case.outbox.finish(b"last", drop=False)
    assert case.wire.writes == []
    case.outbox.resume()
    assert case.wire.writes == [b"alast"]


def test_a_lost_socket_is_written_to_no_more() -> None:
    case = Case()
    case.outbox.send(b"a")
    case.outbox.abandon()
    case.outbox.send(b"b")
    case.outbox.finish(b"last", drop=False)
    case.outbox.resume()
    case.tick.end()
    assert case.wire.writes == []


@pytest.mark.parametrize("end", ["resume", "abandon"])
async def test_whoever_waits_for_room_goes_on_when_there_is_or_never_will_be(end: str) -> None:
    case = Case()
    await case.outbox.drained()
    case.outbox.pause()
    waiting = [asyncio.create_task(case.outbox.drained()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    getattr(case.outbox, end)()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_frames_carry_their_length(size: int) -> None:
    frame = text_frame(b"x" * size)
    header, length = frame[:2], frame[1]
    start = 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(frame[2:10], "big"), 10
    assert header[0] == 0x81
    assert (length, len(frame) - start) == (size, size)


def test_close_frames_carry_code_and_a_reason_that_fits() -> None:
    assert close_frame(4401, "bye") == b"\x88\x05\x11\x31bye"
    assert close_frame(0) == b"\x88\x00"
    long = close_frame(1011, "ä" * 100)
    assert (long[1], len(long)) == (124, 126)
    long[4:].decode()


def test_a_pong_returns_the_payload() -> None:
    assert pong_frame(b"abc") == b"\x8a\x03abc"
