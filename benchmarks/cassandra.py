"""What folding costs with a real Cassandra: a prepared log through the fold into the views, without broker or gateway.

`./dev bench cassandra`. CPU time of all threads, in µs per event: of this process, which decodes, folds and writes,
and of the node, which it starts for itself. The first events warm both up and are not counted.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Annotated

import typer
import uvloop

from benchmarks.kit.ending import unwind_on_sigterm
from benchmarks.kit.history import records
from benchmarks.kit.machine import describe, heading
from benchmarks.kit.output import notes, progress, save, show, table
from benchmarks.kit.processes import cpu_of
from events.log import Record
from infra.cassandra.connection import Connection, Contact
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.generations import Generations
from infra.cassandra.keyspace import Keyspace
from infra.cluster.services import Cassandra
from streams.batch import BatchFold

_COPIES = {"datacenter1": 1}


@dataclass(frozen=True, slots=True)
class Cost:
    """µs per event; `wall` is elapsed time, the others CPU."""

    batch: int
    fold: float
    write: float
    server: float
    wall: float
    batch_ms: float
    """How long one batch took to be written, rows, heads and position, on the average."""

    @property
    def client(self) -> float:
        return self.fold + self.write


class Totals:
    """Seconds over all partitions."""

    def __init__(self) -> None:
        self.folding = 0.0
        self.writing = 0.0
        self.batches = 0


class Folder:
    """Folds one partition, and remembers its chats as a worker does that has run for a while."""

    def __init__(self, store: CassandraFoldStore) -> None:
        self._store = store
        self._fold = BatchFold(store)

    async def fold(self, log: list[Record], batch: int, totals: Totals) -> None:
        """Raises Unavailable."""
        for start in range(0, len(log), batch):
            before = thread_time()
            changes = await self._fold.fold(log[start : start + batch])
            totals.folding += thread_time() - before
            begun = perf_counter()
            await self._store.apply(changes)
            totals.writing += perf_counter() - begun
            totals.batches += 1


class Workload:
    """Partitions of a log, each with chats of its own, cut into a part for warming up and one that counts."""

    def __init__(self, events: int, warm_up: int, chats: int, text: int, partitions: int) -> None:
        self.events = events // partitions
        self.warm_up = warm_up // partitions
        self.chats = chats // partitions
        self.text = text
        self.partitions = partitions

    async def prepare(self) -> list[list[Record]]:
        logs = []
        with progress() as bar:
            task = bar.add_task("preparing the log", total=self.partitions)
            for partition in range(self.partitions):
                source = await records(self.warm_up + self.events, self.chats, self.text)
                logs.append([Record(partition, offset, 0, key, value) for offset, (key, value) in enumerate(source)])
                bar.advance(task)
        return logs


async def measure(node: Cassandra, connection: Connection, keyspace: str, load: Workload, batch: int) -> Cost:
    """Fold a fresh log into a fresh generation, `batch` records of a partition at a time. Raises Unavailable."""
    pid = node.pid
    assert pid is not None
    logs = await load.prepare()

    async def ends() -> Mapping[int, int]:
        return {partition: len(log) for partition, log in enumerate(logs)}

    store = CassandraFoldStore(Keyspace(connection, keyspace), "benchmark", ends)
    folders = [Folder(store) for _ in logs]
    notes.print(f"warming up with {load.warm_up * load.partitions:,} events")
    await _all(folders, [log[: load.warm_up] for log in logs], batch)
    notes.print(f"folding {load.events * load.partitions:,} events, {batch} at a time")
    client, server, began = process_time(), cpu_of(pid), perf_counter()
    totals = await _all(folders, [log[load.warm_up :] for log in logs], batch)
    wall = perf_counter() - began
    client_s, server_s = process_time() - client, (cpu_of(pid) - server).total_s
    events = load.events * load.partitions
    each = 1e6 / events
    return Cost(
        batch,
        totals.folding * each,
        (client_s - totals.folding) * each,
        server_s * each,
        wall * each,
        totals.writing / totals.batches * 1e3,
    )


async def _all(folders: list[Folder], logs: list[list[Record]], batch: int) -> Totals:
    totals = Totals()
    await asyncio.gather(*(folder.fold(log, batch, totals) for folder, log in zip(folders, logs, strict=True)))
    return totals


async def _run(node: Cassandra, load: Workload, batches: list[int]) -> list[Cost]:
    contact = Contact(tuple(node.contact_points), node.ports["cql"], "datacenter1", timeout_s=30)
    connection = Connection(contact)
    try:
        generations = Generations(connection, "bench")
        await generations.prepare(_COPIES)
        costs = []
        for number, batch in enumerate(batches, 1):
            keyspace = await generations.create(number, _COPIES)
            costs.append(await measure(node, connection, keyspace, load, batch))
            await generations.remove(number)
        return costs
    finally:
        connection.close()


def main(
    events: Annotated[int, typer.Option(help="Records that count.", min=1)] = 100_000,
    warm_up: Annotated[int, typer.Option(help="Records before those.", min=1)] = 60_000,
    chats: Annotated[int, typer.Option(help="Direct chats that they are spread over.", min=1)] = 2_000,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    partitions: Annotated[int, typer.Option(help="Partitions that are folded beside each other.", min=1)] = 4,
    batch: Annotated[list[int] | None, typer.Option(help="Records per batch; may be repeated. [default: 500]")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Fold a prepared log into the views of a Cassandra node of its own and say what an event costs."""
    unwind_on_sigterm()
    load = Workload(events, warm_up, chats, text, partitions)
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder:
        node = Cassandra(Path(folder) / "cassandra")
        notes.print("starting Cassandra")
        node.start()
        try:
            costs = uvloop.run(_run(node, load, batch or [500]))
        finally:
            node.kill()
    rows = [
        [
            f"{cost.batch}",
            *(f"{us:.1f}" for us in (cost.fold, cost.write, cost.client, cost.server)),
            f"{1e6 / cost.client:,.0f}",
            f"{cost.batch_ms:.1f}",
            f"{1e6 / cost.wall:,.0f}",
        ]
        for cost in costs
    ]
    title = (
        f"Fold and Cassandra views: {events:,} events, {chats:,} chats, {partitions} partitions, {text} bytes of text"
    )
    columns = [
        "records a batch",
        "decode + fold",
        "write views",
        "worker CPU µs an event",
        "Cassandra CPU µs an event",
        "events/s a worker's core",
        "ms to write a batch",
        "events/s elapsed",
    ]
    show(heading(), table(title, columns, rows))
    save(
        json,
        {
            "benchmark": "cassandra", "events": events, "chats": chats, "partitions": partitions, "text_bytes": text,
            **describe(), "costs": costs,
        },
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
