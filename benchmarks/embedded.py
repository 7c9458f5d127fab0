"""The embedded product under load: one server process, one client process, one-to-one messages over sockets.

`./dev bench embedded`. Open loop from the intended send time. Without rates it raises the rate until the server is
saturated, measures half of that, and then counts the memory of idle connections. Every acked message is read back.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from benchmarks.kit.files import raise_file_limit
from benchmarks.kit.jobs import HoldSockets, Idle, Loaded, LoadServer, Register
from benchmarks.kit.load import Step
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import notes, progress, save, show, table
from benchmarks.kit.processes import pin
from benchmarks.kit.workers import ClientFailed, in_client
from tests.support.server import Server, ServerFailed

_BOTTLENECK = 0.9
_COSTS = ["messages/s", "acked/s", "delivered/s", "CPU µs", "user", "system", "loop", "server", "client", "others"]
_TIMES = ["messages/s", *(f"{what} {part}" for what in ("ack", "delivery") for part in ("p50", "p99", "p99.9"))]
_TIMES += ["unfinished"]


@contextmanager
def serving(folder: Path, core: int | None) -> Iterator[Server]:
    """A server, on one core if one is given."""
    with Server(folder / "data") as server:
        if core is not None:
            pin(server.pid, core)
        yield server


def load(
    server: Server,
    job: tuple[float, ...],
    pairs: int,
    text: int,
    warm_up: float,
    seconds: float,
    cores: set[int] | None,
    bar: Progress,
) -> Loaded:
    """Raises ClientFailed."""
    people = in_client(Register(server.url, pairs), cores, bar)
    can_have = 1.0 if cores else float(len(os.sched_getaffinity(0)))
    work = LoadServer(
        server.url, server.ws_url, {"server": [server.pid]}, people, text, job, warm_up, seconds, can_have
    )
    return in_client(work, cores, bar)


def hold(folder: Path, sockets: int, settle: float, core: int | None, cores: set[int] | None, bar: Progress) -> Idle:
    """Memory per idle socket, in a server that did nothing else since it started. Raises ClientFailed."""
    with serving(folder, None) as server:
        people = in_client(Register(server.url, sockets // 2), cores, bar)
        server.stop()
        server.start()
        if core is not None:
            pin(server.pid, core)
        return in_client(HoldSockets(server.ws_url, server.pid, people, settle), cores, bar)


def _costs(name: str, step: Step) -> list[str]:
    return [
        name,
        f"{step.acked:,.0f}",
        f"{step.delivered:,.0f}",
        *(f"{us:.1f}" for us in (step.cpu_us, step.user_us, step.system_us, step.loop_us)),
        *(f"{busy:.0%}" for busy in (step.server_busy, step.client_busy, step.others_busy)),
    ]


def _times(name: str, step: Step) -> list[str]:
    figures = [each for kind in (step.ack, step.delivery) for each in (kind.p50, kind.p99, kind.p999)]
    return [name, *(f"{ms:.1f}" for ms in figures), f"{step.unfinished:,}"]


def _load_report(loaded: Loaded, title: str) -> Iterator[Table | str]:
    steps = [(f"{step.offered:,.0f}", step) for step in loaded.steps]
    if loaded.half is not None:
        steps.append((f"half: {loaded.half.offered:,.0f}", loaded.half))
    yield table(f"{title}\nServer CPU µs per message; cores busy", _COSTS, [_costs(*step) for step in steps])
    yield table("ms from the intended send to the ack and to the recipient", _TIMES, [_times(*step) for step in steps])
    if loaded.saturation is not None:
        yield f"Saturated at {loaded.saturation:,.0f} messages/s delivered."
    check = loaded.check
    verdict = "nothing lost, doubled or out of order" if not check.faults else "FAULTS: " + "; ".join(check.faults[:5])
    yield f"Loss check: {check.acked:,} acked, {check.read:,} read back over HTTP; {verdict}."
    if any(step.client_busy > _BOTTLENECK for _, step in steps):
        yield "The client's core was over 90 % busy in a step: that step says more about the client."


def main(
    rate: Annotated[
        list[float] | None,
        typer.Option(help="Messages per second; may be repeated. Without it: search for saturation."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Measured per rate, after the warm-up.", min=0.5)] = 12.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before each measurement.", min=0.0)] = 3.0,
    pairs: Annotated[int, typer.Option(help="Pairs of users; two sockets each.", min=1)] = 100,
    text: Annotated[int, typer.Option(help="Bytes of text in a message.", min=1, max=102_400)] = 100,
    idle: Annotated[int, typer.Option(help="Sockets for the memory figure; 0: leave it out.", min=0)] = 2_000,
    settle: Annotated[float, typer.Option(help="Seconds for which memory must not move.", min=0.0)] = 5.0,
    pinned: Annotated[bool, typer.Option(help="Server on one core, client on the others.")] = True,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Load the embedded server and say what a message costs it, how long one takes and what an idle socket holds."""
    usable = sorted(os.sched_getaffinity(0))
    apart = pinned and len(usable) > 1
    core, cores = (usable[0], set(usable[1:])) if apart else (None, None)
    if cores:
        os.sched_setaffinity(0, cores)
    raise_file_limit()
    take_pace()
    held: Idle | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder, progress() as bar:
            with serving(Path(folder) / "load", core) as server:
                notes.print(f"server: process {server.pid}")
                loaded = load(server, tuple(rate or ()), pairs, text, warm_up, seconds, cores, bar)
            if idle:
                held = hold(Path(folder) / "idle", idle, settle, core, cores, bar)
    except (ClientFailed, ServerFailed) as error:
        notes.print(f"benchmark failed: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    where = "server on one core, client on another" if apart else "server and client not pinned"
    report = list(_load_report(loaded, f"One-to-one messages: {pairs} pairs, {text} bytes of text; {where}"))
    if held is not None:
        report.append(
            f"Memory: {held.kib_each:.1f} KiB per idle connection "
            f"({held.sockets:,} more sockets, {held.before / 2**20:.1f} to {held.after / 2**20:.1f} MiB)."
        )
    show(heading(), *report)
    save(
        json,
        {
            "benchmark": "embedded",
            "pairs": pairs,
            "text_bytes": text,
            "pinned": apart,
            **describe(),
            "load": loaded,
            "idle": held,
            "idle_kib": held and held.kib_each,
        },
    )
    if loaded.check.faults:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
