"""A replay keeps order and spacing, and waits for nobody but its sink."""

from __future__ import annotations

import pytest

from events.log import Record
from streams.replay import replay
from tests.support.history import ROOM

AT_MS = (0, 10, 1_000, 1_020, 61_000)
RECORDS = [Record(0, offset, 1_767_225_600_000 + at, ROOM, b"{}") for offset, at in enumerate(AT_MS)]


class Kept:
    """A sink that notes when it got what; flushing takes half a second."""

    def __init__(self) -> None:
        self.time = 100.0
        self.got: list[tuple[int, float]] = []
        self.unsafe = 0

    async def put(self, record: Record) -> None:
        self.unsafe += 1
        self.got.append((record.offset, round(self.time - 100, 3)))

    async def flush(self) -> None:
        self.unsafe = 0

    async def close(self) -> None: ...

    async def sleep(self, seconds: float) -> None:
        assert self.unsafe == 0, "what was given is durable before there is a wait"
        self.time += seconds


@pytest.mark.parametrize(
    ("speed", "times"),
    [(1.0, [0, 0, 1, 1, 61]), (10.0, [0, 0, 0.1, 0.1, 6.1]), (None, [0, 0, 0, 0, 0])],
)
async def test_records_come_in_order_and_as_far_apart_as_asked_for(speed: float | None, times: list[float]) -> None:
    sink = Kept()
    heard: list[int] = []
    count = await replay(RECORDS, sink, speed, clock=lambda: sink.time, sleep=sink.sleep, report=heard.append)
    assert sink.got == list(enumerate(times))
    assert (count, sum(heard), sink.unsafe) == (5, 5, 0)
