"""Folding the log into a generation that nobody serves yet, by this process or by several."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from commands.errors import Unavailable
from infra.cli.console import remarks
from infra.cycles import look_seldom, never_look_at_these
from infra.estate import Estate, opened
from infra.settings import Settings
from projections.fold import Memory
from streams.rebuild import fold_up_to

BATCH = 6_000
"""Records at once: nobody waits for a rebuild's next batch, and the more of them concern one chat, the fewer
partitions of Cassandra have to be written."""
MEMORY = Memory()

Report = Callable[[int, int], None]
"""Hears of records folded so far and to fold in all."""


@dataclass(frozen=True, slots=True)
class Filled:
    events: int
    peak_mib: float
    """Of the process with the most, while it folded."""


class _Meter:
    """Counts what is folded, by this process and others."""

    def __init__(self, report: Report, before: int) -> None:
        self.folded = 0
        self.total = 0
        self._report = report
        self._before = before

    def aim(self, ends: Mapping[int, int]) -> None:
        self.total = sum(ends.values())
        self.add(0)

    def add(self, folded: int) -> None:
        self.folded += folded
        self._report(self._before + self.folded, self.total)


async def fill(estate: Estate, settings: Settings, number: int, workers: int, report: Report, near: int) -> Filled:
    """Fold up to the log's end, until no more than `near` records came meanwhile. Raises Unavailable, WorkerDied."""
    store, discards = await estate.fold_into(number), await estate.discards()
    peaks = [0.0]
    try:
        ends = estate.log.ends()
        meter = _Meter(report, sum((await store.positions()).values()))
        meter.aim(ends)
        if workers > len(ends):
            remarks().print(f"a partition is folded by one process, so no more than {len(ends)} of {workers} work")
        shares = [
            {partition: end for partition, end in ends.items() if partition % workers == worker}
            for worker in range(min(workers, len(ends)))
        ]
        if len(shares) > 1:
            peaks += await asyncio.to_thread(_with_processes, settings, number, shares, meter.add)
        while True:
            await fold_up_to(estate.log, store, ends, meter.add, batch=BATCH, memory=MEMORY, discards=discards)
            before, ends = ends, estate.log.ends()
            if sum(ends.values()) - sum(before.values()) <= near:
                return Filled(meter.folded, max(*peaks, peak_mib()))
            meter.aim(ends)
    finally:
        await estate.release(number)


class WorkerDied(Exception):
    """One of the processes that fold has ended before its time."""


def _with_processes(
    settings: Settings, number: int, shares: Sequence[Mapping[int, int]], folded: Callable[[int], None]
) -> list[float]:
    """Fold each share in a process of its own; gives how much memory each took, in MiB. Blocks."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[Connection, Any] = {}
    peaks: list[float] = []
    try:
        for share in shares:
            mine, theirs = context.Pipe()
            process = context.Process(target=_fold_share, args=(theirs, settings, number, share), daemon=True)
            process.start()
            theirs.close()
            pipes[mine] = process
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                try:
                    said = pipe.recv()
                except EOFError as error:
                    raise WorkerDied("a process that folds has died; the same command goes on") from error
                match said:
                    case int():
                        folded(said)
                    case float():
                        peaks.append(said)
                        pipes.pop(pipe).join()
                    case str():
                        raise Unavailable(said)
        return peaks
    finally:
        for process in pipes.values():
            process.kill()


def _fold_share(pipe: Connection, settings: Settings, number: int, share: Mapping[int, int]) -> None:
    async def main() -> None:
        look_seldom()
        async with opened(settings) as estate:
            store, discards = await estate.fold_into(number), await estate.discards()
            never_look_at_these()
            await fold_up_to(estate.log, store, share, pipe.send, batch=BATCH, memory=MEMORY, discards=discards)

    try:
        asyncio.run(main())
    except Unavailable as error:
        pipe.send(str(error))
    except KeyboardInterrupt:
        sys.exit(1)
    else:
        pipe.send(peak_mib())


def peak_mib() -> float:
    """Memory of this process at its most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
