"""Replaying a span of the log: its records again, in the order and with the spacing in which they were appended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from events.log import Record

LATE_MS = 50
"""Waits shorter than this are not worth one: they are made up for by the next."""


class Sink(Protocol):
    """Where records are replayed to."""

    async def put(self, record: Record) -> None:
        """Take a record; may wait until there is room. Raises Unavailable."""

    async def flush(self) -> None:
        """Return once everything taken is durable there. Raises Unavailable."""

    async def close(self) -> None: ...


async def replay(
    records: Iterable[Record],
    sink: Sink,
    speed: float | None,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    report: Callable[[int], None] = lambda records: None,
) -> int:
    """Give all records to the sink; how many those were. `speed`: 1 keeps the original spacing, 10 takes a tenth of
    the time, None does not wait. `clock`: seconds, never back."""
    count = 0
    first_ms: int | None = None
    began = clock()
    for record in records:
        if speed is not None:
            if first_ms is None:
                first_ms = record.timestamp_ms
            due = began + (record.timestamp_ms - first_ms) / 1000 / speed
            early = due - clock()
            if early * 1000 >= LATE_MS:
                await sink.flush()
                await sleep(early)
        await sink.put(record)
        count += 1
        report(1)
    await sink.flush()
    return count
