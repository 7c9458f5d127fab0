"""What an honest user feels while a hostile or broken client is at work: each attacker in turn, beside the same user.

`./dev bench abuse`. A fresh server for each attack, with the product's own limits. First the honest user is alone, then
the attacker is beside; memory and descriptors of the server are watched throughout.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress
from rich.table import Table

from benchmarks.kit.attacks import ATTACKS, Abuse, Target
from benchmarks.kit.honest import Arrive, Feel, Felt
from benchmarks.kit.latency import Percentiles
from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import notes, progress, save, show, table
from benchmarks.kit.processes import pin, rss_of
from benchmarks.kit.workers import ClientFailed, in_client
from infra.cluster.processes import family
from tests.support.server import Server, ServerFailed

OWN_LIMITS: Mapping[str, str] = {
    # Those of the product, where servers for tests have none; but people must be registered in a short time.
    "TIDINGS_LOGINS_PER_MINUTE": "10",
    "TIDINGS_SENDS_PER_SECOND": "100",
    "TIDINGS_SENDS_BURST": "1000",
    "TIDINGS_MARKS_PER_SECOND": "200",
    "TIDINGS_COMMANDS_PER_SECOND": "10",
    "TIDINGS_COMMANDS_BURST": "100",
    "TIDINGS_QUERIES_PER_SECOND": "20",
    "TIDINGS_CHATS_PER_HOUR": "100",
    "TIDINGS_APPROACHES_PER_HOUR": "200",
    "TIDINGS_ARGON2_TIME_COST": "2",
    "TIDINGS_ARGON2_MEMORY_KIB": "19456",
}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "many-members": {"TIDINGS_ARGON2_TIME_COST": "1", "TIDINGS_ARGON2_MEMORY_KIB": "8"},
    "large-uploads": {"TIDINGS_FILES_QUOTA_MB": "8"},
}
"""What an attack needs besides."""
DESCRIPTORS = 1_024
"""What a shell or a service manager gives a process that does not ask for more."""
LEAD_S = 1.0
"""The attacker begins so long before the honest user is looked at."""
_EVERY_S = 0.05
_MIB = 2**20


class Watched(msgspec.Struct):
    """Of the server and its children: memory in bytes, descriptors of the server."""

    before: int = 0
    most: int = 0
    descriptors: int = 0


class Outcome(msgspec.Struct, frozen=True):
    attack: str
    alone: Felt
    beside: Felt
    watched: Watched
    told: dict[str, int]
    """What the attacker heard → how often."""


@contextmanager
def watching(pid: int) -> Iterator[Watched]:
    """Memory and descriptors until the block ends."""
    watched, ended = Watched(before=_memory(pid)), threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            watched.most = max(watched.most, _memory(pid))
            watched.descriptors = max(watched.descriptors, len(os.listdir(f"/proc/{pid}/fd")))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def _memory(pid: int) -> int:
    total = 0
    for each in family(pid):
        try:
            total += rss_of(each)
        except (FileNotFoundError, ProcessLookupError):
            continue  # a child that has just ended
    return total


def attack(name: str, seconds: float, folder: Path, cores: tuple[int, set[int]] | None, bar: Progress) -> Outcome:
    """Raises ClientFailed, ServerFailed."""
    core, clients = cores or (None, None)
    settings = {**OWN_LIMITS, **SETTINGS.get(name, {})}
    with Server(folder / "data", settings, wrapper=["prlimit", f"--nofile={DESCRIPTORS}:"]) as server:
        if core is not None:
            pin(server.pid, core)
        honest = in_client(Arrive(server.url), clients, bar)
        feel = Feel(server.url, server.ws_url, server.pid, honest, seconds)
        alone = in_client(feel, clients, bar)
        abuse = Abuse(name, Target(server.url, honest.room.people[1].user_id), seconds + LEAD_S)
        with watching(server.pid) as watched, ThreadPoolExecutor(1) as thread:
            attacking = thread.submit(in_client, abuse, clients, bar)
            threading.Event().wait(LEAD_S)
            beside = in_client(feel, clients, bar)
            told = attacking.result()
    return Outcome(name, alone, beside, watched, told)


def _pair(kind: str, outcome: Outcome) -> str:
    alone: Percentiles = getattr(outcome.alone, kind)
    beside: Percentiles = getattr(outcome.beside, kind)
    return "  ".join(f"{each.p50:,.0f} / {each.p99:,.0f}" if each.count else "none" for each in (alone, beside))


def _ratio(outcome: Outcome) -> str:
    """By how much the attacker makes the honest user's messages later."""
    if not outcome.beside.delivery.count:
        return "none came"
    return f"{outcome.beside.delivery.p99 / max(outcome.alone.delivery.p99, 0.001):.1f}"


def _report(outcomes: list[Outcome]) -> Iterator[Table | str]:
    kinds = ["delivery", "inbox", "sign_in", "photo"]
    rows = [
        [
            each.attack,
            *(_pair(kind, each) for kind in kinds),
            _ratio(each),
            f"{each.watched.before / _MIB:,.0f}  {each.watched.most / _MIB:,.0f}",
            f"{each.watched.descriptors:,}",
        ]
        for each in outcomes
    ]
    yield table(
        "An honest user: ms, p50 / p99, alone and beside the attacker; memory of the server in MiB, before and at most",
        ["attack", "delivery", "inbox", "sign-in", "photo, info", "ratio of p99", "memory", "descriptors"],
        rows,
    )
    for each in outcomes:
        told = ", ".join(f"{what}: {count:,}" for what, count in sorted(each.told.items())) or "nothing"
        yield f"{each.attack}: the attacker heard {told}"
        for when, felt in (("alone", each.alone), ("beside", each.beside)):
            if felt.failed:
                yield f"  {when}, the honest user met: " + ", ".join(f"{w}: {n}" for w, n in felt.failed.items())


def main(
    only: Annotated[
        list[str] | None, typer.Option("--attack", help="One of them; may be repeated. Without it all.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Alone, and again beside the attacker.", min=1.0, max=60.0)] = 10.0,
    pinned: Annotated[bool, typer.Option(help="Server on one core, clients on the others.")] = True,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Run each attacker beside an honest user and say what the user felt."""
    unknown = set(only or ()) - ATTACKS.keys()
    if unknown:
        notes.print(f"no such attack: {', '.join(sorted(unknown))}; there are {', '.join(ATTACKS)}")
        raise typer.Exit(2)
    usable = sorted(os.sched_getaffinity(0))
    cores = (usable[0], set(usable[1:])) if pinned and len(usable) > 1 else None
    take_pace()
    outcomes = []
    try:
        with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder, progress() as bar:
            names = list(only or ATTACKS)
            task = bar.add_task("attacks", total=len(names))
            for name in names:
                bar.update(task, description=name)
                outcomes.append(attack(name, seconds, Path(folder) / name, cores, bar))
                bar.advance(task)
                notes.print(f"{name}: delivery {_pair('delivery', outcomes[-1])} ms")
    except (ClientFailed, ServerFailed) as error:
        notes.print(f"benchmark failed: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    show(heading(), *_report(outcomes))
    save(
        json,
        {"benchmark": "abuse", "seconds": seconds, "pinned": cores is not None, **describe(), "outcomes": outcomes},
    )


if __name__ == "__main__":
    typer.run(main)
