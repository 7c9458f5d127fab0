"""What folding costs: a prepared log through the fold into the SQLite views, without a server.

`./dev bench fold`. CPU time of all threads, in µs per event: reading the log, decoding and folding, writing views.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer
import uvloop

from benchmarks.kit.history import records
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import progress, save, show, table
from commands.errors import TidingsError
from events.log import Position
from infra.sqlite.log import SqliteLog
from infra.sqlite.operators import RawLog
from infra.sqlite.views import SqliteViews
from streams.batch import BatchFold

_APPEND_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Cost:
    """µs per event; `wall` is elapsed time, the others CPU."""

    batch: int
    read: float
    fold: float
    write: float
    wall: float

    @property
    def cpu(self) -> float:
        return self.read + self.fold + self.write


async def prepare(path: Path, events: int, chats: int, text_bytes: int) -> None:
    """Write the log. Raises Unavailable."""
    log = SqliteLog(path, _now)
    source = await records(events, chats, text_bytes)
    with progress() as bar:
        task = bar.add_task(f"preparing a log of {events:,} events", total=events)
        while batch := list(islice(source, _APPEND_AT_ONCE)):
            await append(log, batch)
            bar.advance(task, len(batch))
    await log.close()


async def append(log: RawLog, batch: list[tuple[str, bytes]]) -> None:
    """Append and wait until all are durable. Raises Unavailable."""
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(batch)

    def done(_position: Position | None, error: TidingsError | None) -> None:
        nonlocal left
        left -= 1
        if error is not None and not durable.done():
            durable.set_exception(error)
        elif left == 0 and not durable.done():
            durable.set_result(None)

    for key, value in batch:
        log.append_raw(key, value, done)
    await durable


async def measure(log_path: Path, views_path: Path, batch: int) -> Cost:
    """Fold the whole log into fresh views, `batch` records at a time."""
    log = SqliteLog(log_path, _now)
    end = (await log.end())[0]
    views = SqliteViews(views_path, log.incarnation, {0: end})
    fold = BatchFold(views)
    offset = 0
    reading = folding = writing = 0.0
    began = perf_counter()
    with progress() as bar:
        task = bar.add_task(f"folding, {batch} at a time", total=end)
        while offset < end:
            before = process_time()
            batch_records = await log.read(0, offset, batch)
            read = process_time()
            changes = await fold.fold(batch_records)
            folded = process_time()
            await views.apply(changes)
            written = process_time()
            reading, folding, writing = reading + read - before, folding + folded - read, writing + written - folded
            bar.advance(task, changes.next_offset - offset)
            offset = changes.next_offset
    wall = perf_counter() - began
    views.close()
    await log.close()
    return Cost(batch, *(seconds / end * 1e6 for seconds in (reading, folding, writing, wall)))


async def _run(events: int, chats: int, text: int, batches: list[int]) -> list[Cost]:
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder:
        log_path = Path(folder) / "log.db"
        await prepare(log_path, events, chats, text)
        return [await measure(log_path, Path(folder) / f"views-{batch}.db", batch) for batch in batches]


def _now() -> datetime:
    return datetime.now(UTC)


def main(
    events: Annotated[int, typer.Option(help="Records in the log.", min=1)] = 200_000,
    chats: Annotated[int, typer.Option(help="Direct chats that they are spread over.", min=1)] = 500,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    batch: Annotated[
        list[int] | None, typer.Option(help="Records per batch; may be repeated. [default: 100, 500]")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Fold a prepared log into SQLite views and say what an event costs."""
    take_pace()
    costs = uvloop.run(_run(events, chats, text, batch or [100, 500]))
    rows = [
        [
            f"{cost.batch}",
            *(f"{us:.1f}" for us in (cost.read, cost.fold, cost.write, cost.cpu, cost.wall)),
            f"{1e6 / cost.wall:,.0f}",
        ]
        for cost in costs
    ]
    title = f"Fold and SQLite views: {events:,} events, {chats:,} chats, {text} bytes of text"
    columns = [
        "records a batch",
        "read log",
        "decode + fold",
        "write views",
        "CPU µs an event",
        "elapsed µs",
        "events/s",
    ]
    show(heading(), table(title, columns, rows))
    save(
        json, {"benchmark": "fold", "events": events, "chats": chats, "text_bytes": text, **describe(), "costs": costs}
    )


if __name__ == "__main__":
    typer.run(main)
