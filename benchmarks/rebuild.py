"""What a rebuild costs: `tidings projections rebuild` on a prepared log, embedded, and into a real Cassandra.

`./dev bench rebuild`. Elapsed time, events a second and the most memory that a process took, for logs of several sizes:
memory must not grow with the log.
"""

from __future__ import annotations

import asyncio
import json as json_text
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from benchmarks.fold import append, prepare
from benchmarks.kit.ending import unwind_on_sigterm
from benchmarks.kit.history import records
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import notes, progress, save, show, table
from infra.cassandra.connection import Connection, Contact
from infra.cassandra.generations import Generations
from infra.cluster.local import JVM_OPTIONS
from infra.cluster.services import Cassandra, Kafka
from infra.kafka.log import KafkaLog
from infra.layout import log_file

_COPIES = {"datacenter1": 1}
_APPEND_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    into: str
    events: int
    seconds: float
    events_per_s: int
    peak_mib: float


def rebuild(into: str, settings: Mapping[str, str], workers: int) -> Rebuilt:
    """Run the command in a process of its own. Raises CalledProcessError."""
    command = [sys.executable, "-m", "infra.cli", "projections", "rebuild", "timeline", "--json"]
    notes.print(f"rebuilding into {into}")
    done = subprocess.run(
        [*command, "--workers", str(workers)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=None if notes.is_terminal else subprocess.DEVNULL,
        text=True,
        check=True,
    )
    told = json_text.loads(done.stdout)
    return Rebuilt(into, told["events"], told["seconds"], told["events_per_s"], round(told["peak_mib"]))


def embedded(events: int, chats: int, text: int) -> Rebuilt:
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder:
        data = Path(folder)
        uvloop.run(prepare(log_file(data), events, chats, text))
        return rebuild("SQLite", {"TIDINGS_DATA": str(data)}, 1)


@contextmanager
def services() -> Iterator[tuple[Kafka, Cassandra]]:
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder:
        options = JVM_OPTIONS.split()
        kafka = Kafka(Path(folder) / "kafka", jvm_options=options)
        cassandra = Cassandra(Path(folder) / "cassandra", jvm_options=options)
        try:
            for service in (kafka, cassandra):
                notes.print(f"starting {type(service).__name__}")
                service.start()
            yield kafka, cassandra
        finally:
            kafka.kill()
            cassandra.kill()


def clustered(events: int, chats: int, text: int, partitions: int, workers: int) -> Rebuilt:
    with services() as (kafka, cassandra):
        node = f"{cassandra.contact_points[0]}:{cassandra.ports['cql']}"
        uvloop.run(_fill(kafka, cassandra, events, chats, text, partitions))
        settings = {"TIDINGS_KAFKA": kafka.bootstrap, "TIDINGS_CASSANDRA": node, "TIDINGS_REPLICATION": "1"}
        return rebuild("Kafka to Cassandra", settings, workers)


async def _fill(kafka: Kafka, cassandra: Cassandra, events: int, chats: int, text: int, partitions: int) -> None:
    log = await KafkaLog.open(kafka.bootstrap, partitions)
    source = await records(events, chats, text)
    with progress() as bar:
        task = bar.add_task(f"preparing a log of {events:,} events", total=events)
        while batch := list(islice(source, _APPEND_AT_ONCE)):
            await append(log, batch)
            bar.advance(task, len(batch))
    await log.close()
    contact = Contact(tuple(cassandra.contact_points), cassandra.ports["cql"], timeout_s=30)
    connection = Connection(contact)
    try:
        generations = Generations(connection)
        await generations.prepare(_COPIES)
        await generations.create(1, _COPIES)
        await generations.serve(1)
    finally:
        await asyncio.to_thread(connection.close)


def main(
    events: Annotated[
        list[int] | None, typer.Option(help="Records in a log; may be repeated. [default: 100000, 1000000]")
    ] = None,
    chats: Annotated[int, typer.Option(help="Direct chats that they are spread over.", min=1)] = 2_000,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    partitions: Annotated[int, typer.Option(help="Of the log in Kafka.", min=1)] = 4,
    workers: Annotated[int, typer.Option(help="Processes that fold from Kafka into Cassandra.", min=1)] = 2,
    into: Annotated[str, typer.Option(help="sqlite, cassandra or both.")] = "both",
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Rebuild the read models from prepared logs, and say how fast that is and how much memory it takes."""
    unwind_on_sigterm()
    take_pace()
    sizes = events or [100_000, 1_000_000]
    found = [embedded(size, chats, text) for size in sizes] if into != "cassandra" else []
    if into != "sqlite":
        found += [clustered(size, chats, text, partitions, workers) for size in sizes]
    rows = [
        [each.into, f"{each.events:,}", f"{each.seconds:.1f}", f"{each.events_per_s:,}", f"{each.peak_mib:.0f}"]
        for each in found
    ]
    columns = ["into", "events", "seconds", "events/s", "MiB of memory at most"]
    show(heading(), table(f"Rebuild: {chats:,} chats, {text} bytes of text", columns, rows))
    save(json, {"benchmark": "rebuild", "chats": chats, "text_bytes": text, **describe(), "rebuilt": found})


if __name__ == "__main__":
    typer.run(main)
