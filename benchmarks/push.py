"""What pushing costs: messages to people who are away, each with two devices, over servers that speak the protocols.

`./dev bench push`. The push stream runs in this process, over queues and views in SQLite; both providers run in another
one. Lag is the time from a note's fsync to the provider's answer. Views and accounts are prepared before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer
import uvloop

from benchmarks.kit.machine import describe, heading, take_pace
from benchmarks.kit.output import notes as told
from benchmarks.kit.output import progress, save, show, table
from benchmarks.kit.processes import cpu_of
from commands.devices import Platform
from commands.sealing import Sealer
from infra.master_key import MasterKey
from infra.memory.presence import MemoryPresence
from infra.push.embedded import open_queues
from infra.push.role import PushQueues, open_role
from infra.settings import load_settings
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database, sqlite_url
from infra.sql.devices import SqlDevices
from infra.sql.keys import SqlKeys
from infra.sqlite.views import SqliteViews
from streams.push.records import Note, encode_note
from streams.push.stream import Sent
from tests.support.people import MASTER
from tests.support.providers.__main__ import Providers, providers
from tests.support.providers.keys import KEY_ID, TEAM_ID, TOPIC
from tests.support.push_process import INCARNATION, prepare, utc_now

TICK_S = 0.02
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """One rate. Lags in ms, costs in µs of CPU for a push."""

    offered: float
    pushed: float
    """Messages a second, all of their devices included."""
    lag_p50: float
    lag_p99: float
    waiting: int
    """The most notes that waited at any moment."""
    cost: float
    provider_cost: float
    messages: int
    missing: int
    repeated: int


class Lags:
    """When each note was stored, and how long its last push took from then."""

    def __init__(self) -> None:
        self.put_at: dict[tuple[str, int], float] = {}
        self.lags: dict[tuple[str, int], float] = {}

    async def note(self, sent: Sequence[Sent]) -> None:
        now = perf_counter()
        for each in sent:
            if each.outcome.result == "sent":
                key = each.push.chat_id, each.push.seq
                self.lags[key] = now - self.put_at[key]

    def percentile(self, share: float) -> float:
        """In ms."""
        ranked = sorted(self.lags.values())
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))]


async def measure(folder: Path, theirs: Providers, notes: list[Note], rate: float, devices: int) -> Step:
    os.environ |= {
        "TIDINGS_PUSH_APNS_KEY": str(theirs.keys.apns_key),
        "TIDINGS_PUSH_APNS_KEY_ID": KEY_ID,
        "TIDINGS_PUSH_APNS_TEAM_ID": TEAM_ID,
        "TIDINGS_PUSH_APNS_TOPIC": TOPIC,
        "TIDINGS_PUSH_APNS_URL": theirs.apple,
        "TIDINGS_PUSH_APNS_CA": str(theirs.keys.certificate),
        "TIDINGS_PUSH_FCM_ACCOUNT": str(theirs.keys.account),
        "TIDINGS_PUSH_FCM_URL": theirs.google,
    }
    async with AsyncExitStack() as stack:
        master_key = MasterKey(MASTER)
        database = await Database.open(sqlite_url(folder / "accounts.db"), master_key)
        stack.push_async_callback(database.close)
        views = SqliteViews(folder / "views.db", INCARNATION, {0: 10**12})
        stack.callback(views.close)
        lags = Lags()
        notifier, queues, _ = open_queues(folder / f"push-{rate}.db", INCARNATION, 1, utc_now, stack)
        noting = PushQueues(queues.retries, queues.holder, queues.letters, queues.tag, lags.note)
        role = await open_role(
            load_settings(),
            noting,
            views,
            SqlDevices(database),
            SqlAccounts(database, master_key),
            Sealer(SqlKeys(database, master_key)),
            MemoryPresence(utc_now),
            utc_now,
            stack,
        )
        before = await theirs.counts()
        pushing = asyncio.create_task(role.run())
        theirs_before, began, cpu = cpu_of(theirs.process.pid).total_s, perf_counter(), process_time()
        put, waiting = 0, 0
        with progress() as bar:
            task = bar.add_task(f"{rate:,.0f} messages a second", total=len(notes))
            while len(lags.lags) < len(notes) and perf_counter() - began < len(notes) / rate + PATIENCE_S:
                due = min(len(notes), int((perf_counter() - began) * rate))
                if due > put:
                    some = notes[put:due]
                    for note in some:
                        lags.put_at[note.chat_id, note.seq] = perf_counter()
                    await notifier._queue.put(0, [encode_note(note) for note in some])
                    put = due
                waiting = max(waiting, put - len(lags.lags))
                bar.update(task, completed=len(lags.lags))
                await asyncio.sleep(TICK_S)
        elapsed, cost = perf_counter() - began, process_time() - cpu
        their_cost = cpu_of(theirs.process.pid).total_s - theirs_before
        pushing.cancel()
        await asyncio.wait([pushing])
        after = await theirs.counts()
    accepted, different = after["accepted"] - before["accepted"], after["different"] - before["different"]
    pushes = len(notes) * devices
    return Step(
        rate,
        len(lags.lags) / elapsed,
        lags.percentile(0.5),
        lags.percentile(0.99),
        waiting,
        cost / pushes * 1e6,
        their_cost / pushes * 1e6,
        len(notes),
        pushes - different,
        accepted - different,
    )


async def _run(rates: list[float], seconds: float, people: int, platforms: list[Platform]) -> list[Step]:
    steps = []
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as name:
        folder = Path(name)
        total = sum(int(rate * seconds) for rate in rates)
        told.print(f"preparing {people} people and {total:,} messages")
        notes = await prepare(folder, people, total, platforms)
        async with providers(folder) as theirs:
            first = 0
            for rate in rates:
                last = first + int(rate * seconds)
                steps.append(await measure(folder, theirs, notes[first:last], rate, len(platforms)))
                first = last
    return steps


def main(
    rate: Annotated[
        list[float] | None, typer.Option(help="Messages a second; may be repeated. [default: 1000]")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For so long, at each rate.", min=0.1)] = 20.0,
    people: Annotated[int, typer.Option(help="Who get them in turn, each in a direct chat.", min=1)] = 200,
    iphones: Annotated[int, typer.Option(help="Of each of them.", min=0)] = 2,
    androids: Annotated[int, typer.Option(help="Of each of them.", min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Push messages to people who are away and say how far behind that is, and what it costs."""
    take_pace()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    platforms: list[Platform] = [*(["IOS"] * iphones), *(["ANDROID"] * androids)]  # type: ignore[list-item]
    steps = uvloop.run(_run(rate or [1_000.0], seconds, people, platforms))
    rows = [
        [
            f"{step.offered:,.0f}",
            f"{step.pushed:,.0f}",
            f"{step.lag_p50:,.0f} / {step.lag_p99:,.0f}",
            f"{step.waiting:,}",
            f"{step.cost:,.0f}",
            f"{step.provider_cost:,.0f}",
            f"{step.missing}",
            f"{step.repeated}",
        ]
        for step in steps
    ]
    title = f"Pushes to {people} people with {iphones} iPhones and {androids} Androids each, {seconds:.0f} s a rate"
    columns = [
        "offered/s",
        "pushed/s",
        "lag p50 / p99 ms",
        "most waiting",
        "CPU µs a push",
        "the providers'",
        "missing",
        "repeated",
    ]
    show(heading(), table(title, columns, rows))
    save(json, {"benchmark": "push", "people": people, "platforms": platforms, **describe(), "steps": steps})
    if any(step.missing for step in steps):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
