"""What an export costs: `tidings events export` of a prepared log, twice.

`./dev bench export`. Elapsed time, events a second and the most memory that a process took, for logs of several sizes:
memory must not grow with the log. Both exports must be the same to the byte, and DuckDB must find every event.
"""

from __future__ import annotations

import json as json_text
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from benchmarks.fold import prepare
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import notes, save, show, table
from infra.analysts.manifest import NAME
from infra.layout import log_file


@dataclass(frozen=True, slots=True)
class Exported:
    """`peak_mib`: of the process that took most. `counted`: the events that DuckDB finds."""

    events: int
    seconds: float
    peak_mib: int
    mib: float
    files: int
    is_repeated: bool
    counted: int


def measure(events: int, chats: int, text: int, workers: int) -> Exported:
    """Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder:
        data, first, second = (Path(folder) / name for name in ("data", "first", "second"))
        data.mkdir()
        uvloop.run(prepare(log_file(data), events, chats, text))
        notes.print("exporting")
        told, seconds, peak_mib = tidings(data, "events", "export", "--out", str(first), "--workers", str(workers))
        notes.print("exporting once more")
        tidings(data, "events", "export", "--out", str(second), "--workers", str(workers))
        query = "SELECT count(*) AS n FROM events"
        found, _, _ = tidings(data, "sql", query, "--export", str(first), "--output", "json")
        # It has the SHA-256 of every file.
        is_repeated = (first / NAME).read_bytes() == (second / NAME).read_bytes()
        size = sum(path.stat().st_size for path in first.rglob("*") if path.is_file())
        return Exported(
            told["events"],
            round(seconds, 2),
            round(peak_mib),
            round(size / 2**20, 1),
            told["files"],
            is_repeated,
            found["n"],
        )


def tidings(data: Path, *arguments: str) -> tuple[Any, float, float]:
    """What a command told as JSON, the seconds that it took, and the MiB of its largest process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", *arguments],
        env={**os.environ, "TIDINGS_DATA": str(data)},
        stdout=subprocess.PIPE,
        stderr=None if notes.is_terminal else subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return json_text.loads(said), time.perf_counter() - began, usage.ru_maxrss / 1024


def main(
    events: Annotated[
        list[int] | None, typer.Option(help="Records in a log; may be repeated. [default: 100000, 1000000]")
    ] = None,
    chats: Annotated[int, typer.Option(help="Direct chats that they are spread over.", min=1)] = 2_000,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    workers: Annotated[int, typer.Option(help="Processes that write.", min=1)] = 2,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Export prepared logs as Parquet, and say how fast that is and how much memory it takes."""
    take_pace()
    found = [measure(size, chats, text, workers) for size in events or [100_000, 1_000_000]]
    rows = [
        [
            f"{each.events:,}",
            f"{each.seconds:.1f}",
            f"{each.events / each.seconds:,.0f}",
            str(each.peak_mib),
            f"{each.mib:.0f}",
            "yes" if each.is_repeated else "NO",
            f"{each.counted:,}",
        ]
        for each in found
    ]
    columns = ["events", "seconds", "events/s", "MiB of memory at most", "MiB written", "same bytes again", "in DuckDB"]
    show(heading(), table(f"Export: {chats:,} chats, {text} bytes of text", columns, rows))
    save(json, {"benchmark": "export", "chats": chats, "text_bytes": text, **describe(), "exported": found})
    if any(not each.is_repeated or each.counted != each.events for each in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
