"""The whole cluster under load: what a message costs each kind of process, and how that cost grows with what.

`./dev bench cluster`. Starts a cluster of its own (real Kafka, Cassandra, Redis, PostgreSQL, HAProxy, gateways and
workers), loads it open loop through HAProxy, reads everything back, then draws the cost curves that are asked for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress
from rich.table import Table

from benchmarks.kit.ending import unwind_on_sigterm
from benchmarks.kit.files import raise_file_limit
from benchmarks.kit.jobs import Loaded, LoadServer, Register
from benchmarks.kit.load import Step
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import notes, progress, save, show, table
from benchmarks.kit.past import MakePast
from benchmarks.kit.people import Room
from benchmarks.kit.workers import ClientFailed, in_client
from infra.cluster.local import LocalCluster
from infra.cluster.plan import Plan
from infra.cluster.service import ServiceFailed
from infra.cluster.starting import start, stop
from tests.support.server import QUICK, UNLIMITED

KINDS = ("gateway", "worker", "kafka", "cassandra", "redis", "haproxy", "postgres")
"""Kinds of process; a service's name begins with its kind."""
_TIMES = [f"{what} {part}" for what in ("ack", "delivery") for part in ("p50", "p99")]


class Point(msgspec.Struct, frozen=True):
    """One measurement of a curve."""

    x: int
    step: Step
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Bench:
    """A running cluster and the shape of the load."""

    cluster: LocalCluster
    text: int
    warm_up: float
    seconds: float
    bar: Progress

    def rooms(self, count: int, size: int = 2) -> list[Room]:
        """Raises ClientFailed."""
        return in_client(Register(self.cluster.url, count, size), None, self.bar)

    def load(self, rooms: list[Room], rates: Sequence[float], idle: Sequence[Room] = ()) -> Loaded:
        """Raises ClientFailed."""
        ws_url = self.cluster.url.replace("http", "ws", 1) + "/v1/ws"
        processes: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for name, service in self.cluster.services.items():
            if service.pid is not None:
                processes[name.split("-")[0]].append(service.pid)
        cores = float(len(os.sched_getaffinity(0)))
        work = LoadServer(
            self.cluster.url, ws_url, processes, rooms, self.text, tuple(rates), self.warm_up, self.seconds, cores, idle
        )
        return in_client(work, None, self.bar)

    def point(self, x: int, rooms: list[Room], rate: float, idle: Sequence[Room] = ()) -> Point:
        loaded = self.load(rooms, [rate], idle)
        return Point(x, loaded.steps[0], loaded.check.faults)


@contextmanager
def running(folder: Path, plan: Plan) -> Iterator[LocalCluster]:
    """A cluster that ends with the block. Raises ServiceFailed."""
    os.environ.update({**QUICK, **UNLIMITED})
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    cluster = LocalCluster(folder, plan)
    services = list(cluster.services.values())
    try:
        for report in start(services, cluster.needs):
            notes.print(f"  {report.seconds:5.1f} s  {report.name} {report.step}")
            if report.error is not None:
                raise ServiceFailed(f"{report.name}: {report.error}")
        yield cluster
    finally:
        for _ in stop(services):
            pass


def _costs(name: str, step: Step) -> list[str]:
    parts = [f"{step.parts[kind]:.0f}" for kind in KINDS]
    times = [f"{ms:.1f}" for kind in (step.ack, step.delivery) for ms in (kind.p50, kind.p99)]
    return [name, f"{step.delivered:,.0f}", *parts, f"{step.cpu_us:.0f}", *times]


def _table(title: str, first: str, rows: Sequence[tuple[str, Step]]) -> Table:
    columns = [first, "delivered/s", *KINDS, "sum", *_TIMES]
    return table(f"{title}\nCPU µs per message; ms from the intended send", columns, [_costs(*row) for row in rows])


def main(
    rate: Annotated[
        list[float] | None, typer.Option(help="Messages per second; may be repeated. [default: 50, 500, 1000, 2000]")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Measured per rate, after the warm-up.", min=0.5)] = 10.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before each measurement.", min=0.0)] = 3.0,
    pairs: Annotated[int, typer.Option(help="Pairs of users; two sockets each.", min=1)] = 100,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    gateways: Annotated[int, typer.Option(min=1)] = 2,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    group: Annotated[list[int] | None, typer.Option(help="Curve: people in a chat; may be repeated.", min=2)] = None,
    history: Annotated[list[int] | None, typer.Option(help="Curve: messages a chat already has.", min=0)] = None,
    connections: Annotated[list[int] | None, typer.Option(help="Curve: sockets open, most of them idle.")] = None,
    curve_rate: Annotated[float, typer.Option(help="Messages per second in curves of history and sockets.")] = 500.0,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Load a cluster and say what a message costs each kind of process, and how long one takes."""
    raise_file_limit()
    unwind_on_sigterm()
    take_pace()
    curves: dict[str, list[Point]] = {}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder,
            running(Path(folder), Plan(gateways=gateways, workers=workers)) as cluster,
            progress() as bar,
        ):
            bench = Bench(cluster, text, warm_up, seconds, bar)
            loaded = bench.load(bench.rooms(pairs), rate or [50.0, 500.0, 1_000.0, 2_000.0])
            for name, xs, measure in (
                ("people in a chat", group, _group),
                ("messages a chat has", history, _history(curve_rate)),
                ("sockets", connections, _connections(curve_rate, pairs)),
            ):
                if xs:
                    notes.print(f"curve: {name}")
                    curves[name] = measure(bench, xs)
    except (ClientFailed, ServiceFailed) as error:
        notes.print(f"benchmark failed: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    title = f"One-to-one messages: {pairs} pairs, {text} bytes of text, {gateways} gateways, {workers} workers"
    report: list[Table | str] = [_table(title, "messages/s", [(f"{step.offered:,.0f}", step) for step in loaded.steps])]
    faults = list(loaded.check.faults)
    for name, points in curves.items():
        report.append(_table(f"By {name}", name, [(f"{point.x:,}", point.step) for point in points]))
        faults += [fault for point in points for fault in point.faults]
    verdict = "nothing lost, doubled or out of order" if not faults else "FAULTS: " + "; ".join(faults[:5])
    report.append(f"Loss check: {loaded.check.acked:,} acked, {loaded.check.read:,} read back over HTTP; {verdict}.")
    show(heading(), *report)
    sizes = {"pairs": pairs, "text_bytes": text, "gateways": gateways, "workers": workers}
    save(json, {"benchmark": "cluster", **sizes, **describe(), "load": loaded, "curves": curves})
    if faults:
        raise typer.Exit(1)


def _group(bench: Bench, sizes: Sequence[int]) -> list[Point]:
    """One chat each. The rate falls as the group grows, so that about as many frames leave a second."""
    return [bench.point(size, bench.rooms(1, size), max(2.0, min(300.0, 6_000.0 / size))) for size in sizes]


def _history(rate: float) -> Callable[[Bench, Sequence[int]], list[Point]]:
    def measure(bench: Bench, lengths: Sequence[int]) -> list[Point]:
        rooms = bench.rooms(len(lengths))
        work = MakePast(bench.cluster.url, bench.cluster.kafka[0].bootstrap, rooms, lengths, bench.text)
        rooms = in_client(work, None, bench.bar)
        return [bench.point(length, [room], rate) for length, room in zip(lengths, rooms, strict=True)]

    return measure


def _connections(rate: float, pairs: int) -> Callable[[Bench, Sequence[int]], list[Point]]:
    def measure(bench: Bench, totals: Sequence[int]) -> list[Point]:
        active = min(pairs, min(totals) // 2)
        others = max(totals) // 2 - active
        idle = bench.rooms(others) if others else []
        # Rooms of its own for each point: the loss check reads a room from where it began.
        return [bench.point(total, bench.rooms(active), rate, idle[: total // 2 - active]) for total in totals]

    return measure


if __name__ == "__main__":
    typer.run(main)
