"""What appending costs: bursts of records into the SQLite log, each burst waited for until it is durable.

`./dev bench log`. A burst larger than the log's largest commit takes several.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer
import uvloop

from benchmarks.fold import append
from benchmarks.kit.history import records
from benchmarks.kit.latency import Percentiles, percentiles
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import progress, save, show, table
from infra.sqlite.log import SqliteLog

_CHATS = 500
_BURSTS = [1, 10, 30, 100, 300, 1_000]


@dataclass(frozen=True, slots=True)
class Cost:
    """µs per record: `cpu` of all threads, `wall` elapsed. `durable`: ms from a burst's first append to its fsync."""

    burst: int
    records: int
    commits: int
    cpu: float
    wall: float
    durable: Percentiles


async def measure(path: Path, burst: int, bursts: int, text_bytes: int) -> Cost:
    """Append `bursts` bursts to a fresh log. Raises Unavailable."""
    log = SqliteLog(path, _now)
    source = list(await records(burst * bursts + _CHATS, _CHATS, text_bytes))[_CHATS:]
    latencies = []
    cpu, began = process_time(), perf_counter()
    for start in range(0, len(source), burst):
        before = perf_counter()
        await append(log, source[start : start + burst])
        latencies.append(perf_counter() - before)
    cpu, wall = process_time() - cpu, perf_counter() - began
    commits = log.commits
    await log.close()
    return Cost(burst, len(source), commits, cpu / len(source) * 1e6, wall / len(source) * 1e6, percentiles(latencies))


async def _run(bursts_of: list[int], at_most: int, text: int) -> list[Cost]:
    costs = []
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder, progress() as bar:
        task = bar.add_task("appending", total=len(bursts_of))
        for burst in bursts_of:
            bursts = max(1, min(at_most // burst, 2_000))
            costs.append(await measure(Path(folder) / f"log-{burst}.db", burst, bursts, text))
            bar.advance(task)
    return costs


def _now() -> datetime:
    return datetime.now(UTC)


def main(
    burst: Annotated[
        list[int] | None, typer.Option(help=f"Records per burst; may be repeated. [default: {_BURSTS}]")
    ] = None,
    records: Annotated[int, typer.Option(help="At most so many records for each size.", min=1)] = 50_000,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Append bursts to the SQLite log and say what a record costs."""
    take_pace()
    costs = uvloop.run(_run(burst or _BURSTS, records, text))
    rows = [
        [
            *(f"{count:,}" for count in (cost.burst, cost.records, cost.commits)),
            f"{cost.cpu:.1f}",
            f"{cost.wall:.1f}",
            f"{1e6 / cost.wall:,.0f}",
            f"{cost.durable.p50:.2f}",
            f"{cost.durable.p99:.2f}",
        ]
        for cost in costs
    ]
    columns = ["records a burst", "records", "commits", "CPU µs a record", "elapsed µs", "records/s"]
    columns += ["durable p50 ms", "p99 ms"]
    show(heading(), table(f"Appends to the SQLite log, {text} bytes of text", columns, rows))
    save(json, {"benchmark": "log", "text_bytes": text, **describe(), "costs": costs})


if __name__ == "__main__":
    typer.run(main)
