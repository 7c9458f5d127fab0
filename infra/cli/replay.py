"""`tidings events replay`: a span of the log again, somewhere else."""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import closing
from datetime import UTC, datetime

from infra.cli.console import progress
from infra.cli.faults import Fault
from infra.cli.tail import Bounds, Span
from infra.log_readers import open_log_reader
from infra.masking import masked
from infra.replays import check, open_sink
from infra.settings import Settings
from streams.log_reader import LogReader, in_order_of_time
from streams.replay import replay


def run(
    settings: Settings, begin: str, until: str | None, speed: str, into: str, chat: str | None, dry_run: bool
) -> None:
    """The whole command. Raises Fault, BadPlace, Unavailable, TopicUnsuitable, DataDirectoryInUse."""
    factor = _factor(speed)
    check(into, settings)
    with closing(open_log_reader(settings)) as reader:
        bounds = Bounds(reader, Span(begin, until, chat), lambda: datetime.now(UTC))
        records = sum(bounds.ends[partition] - offset for partition, offset in bounds.offsets.items())
        if dry_run:
            found = sum(1 for _ in in_order_of_time(reader, bounds.offsets, bounds.ends, chat))
            print(json.dumps({"into": masked(into), "records": found, "dry_run": True}))
            return
        count = asyncio.run(_replay(settings, reader, bounds, factor, into, chat, records))
    print(json.dumps({"into": masked(into), "records": count, "dry_run": False}))


async def _replay(
    settings: Settings,
    reader: LogReader,
    bounds: Bounds,
    factor: float | None,
    into: str,
    chat: str | None,
    records: int,
) -> int:
    sink = await open_sink(into, settings, reader.partitions)
    try:
        with progress() as bars:
            task = bars.add_task("Replaying", total=records)
            return await replay(
                in_order_of_time(reader, bounds.offsets, bounds.ends, chat),
                sink,
                factor,
                clock=time.monotonic,
                report=lambda more: bars.advance(task, more),
            )
    finally:
        await sink.close()


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = math.nan
    if not (factor > 0 and math.isfinite(factor)):
        raise Fault(f"{speed!r} is no speed", "give a number such as 1 or 10, or max", 2)
    return factor
