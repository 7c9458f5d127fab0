"""`tidings stats`: figures of a span of the log, as columns with a plot, or as JSON."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.cli.console import progress
from infra.cli.tail import Bounds, Span
from infra.log_readers import discards_of, open_log_reader
from infra.settings import Settings
from infra.sqlite.views import SqliteViews
from streams.batch import BatchFold, Discards
from streams.log_reader import LogReader
from streams.statistics import Statistics

BAR = 50
"""Characters of the longest bar."""
HOURS_SHOWN = 48


def run(settings: Settings, begin: str, until: str | None, style: str) -> None:
    """The whole command. Raises BadPlace, NoLog, Unavailable."""
    with closing(open_log_reader(settings)) as reader:
        bounds = Bounds(reader, Span(begin, until), lambda: datetime.now(UTC))
        statistics = asyncio.run(_gather(reader, discards_of(settings), bounds))
    told = statistics.told()
    print(json.dumps(told) if style == "json" else as_text(told))


async def _gather(reader: LogReader, discards: Discards, bounds: Bounds) -> Statistics:
    """Fold from the beginning, for only the fold knows a message's number; into a file, so memory stays flat."""
    statistics = Statistics(bounds.offsets)
    with TemporaryDirectory(prefix="tidings-stats-") as folder, progress() as bars:
        store = SqliteViews(Path(folder) / "views.db", reader.incarnation, reader.ends())
        task = bars.add_task("Folding the log", total=sum(bounds.ends.values()))
        try:
            for partition, end in bounds.ends.items():
                fold = BatchFold(store, discards=discards)
                for batch in reader.batches(partition, 0, end):
                    left = list(batch)
                    while left:
                        changes = await fold.fold(left)
                        await store.apply(changes)
                        done = [record for record in left if record.offset < changes.next_offset]
                        statistics.hear(done, changes)
                        left = left[len(done) :]
                    bars.advance(task, len(batch))
        finally:
            store.close()
    return statistics


def as_text(told: dict[str, Any]) -> str:
    lines = [
        f"{told['events']:,} events, {told['refused']:,} of them refused, in {told['active_chats']:,} chats by "
        f"{told['active_users']:,} users",
        "",
        f"{'TYPE':<22} {'EVENTS':>12}",
    ]
    lines += [f"{kind:<22} {count:>12,}" for kind, count in told["types"].items()]
    lines += ["", f"{'LATENCY':<22} {'COUNT':>12} {'p50':>9} {'p90':>9} {'p95':>9} {'p99':>9}"]
    for name, title in (("delivery", "sent to delivered"), ("read", "sent to read")):
        found = told[name]
        cells = [f"{_duration(found[f'p{each}_ms']):>9}" for each in (50, 90, 95, 99)]
        lines.append(f"{title:<22} {found['count']:>12,} {' '.join(cells)}")
    hours = list(told["hours"].items())
    if hours:
        lines += ["", "EVENTS BY HOUR (UTC)"]
        highest = max(count for _, count in hours[-HOURS_SHOWN:])
        lines += [
            f"{_hour(int(hour))} {count:>10,} {'█' * -(-count * BAR // highest)}"
            for hour, count in hours[-HOURS_SHOWN:]
        ]
    return "\n".join(lines)


def _duration(ms: int | None) -> str:
    if ms is None:
        return "-"
    return f"{ms} ms" if ms < 10_000 else f"{ms / 1000:.0f} s" if ms < 600_000 else f"{ms / 60_000:.0f} min"


def _hour(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H}h"
