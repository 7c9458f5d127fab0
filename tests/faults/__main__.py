"""The command behind `./dev cluster faults`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from infra.cluster.local import LocalCluster
from infra.cluster.plan import Plan, write_plan
from infra.cluster.service import ServiceFailed
from infra.cluster.starting import start, stop
from tests.faults.cases import cases
from tests.faults.trial import Result, run_case
from tests.faults.views import truth_of
from tests.support.server import QUICK, UNLIMITED

_notes = Console(stderr=True, highlight=False)


@contextmanager
def running(folder: Path, plan: Plan) -> Iterator[LocalCluster]:
    """A cluster that ends with the block. Raises ServiceFailed."""
    write_plan(folder, plan)
    cluster = LocalCluster(folder, plan)
    services = list(cluster.services.values())
    try:
        for report in start(services, cluster.needs):
            if report.step != "starting":
                _notes.print(f"{report.seconds:6.1f} s  {report.name} {report.step}")
            if report.error is not None:
                raise ServiceFailed(f"{report.name}: {report.error}")
        yield cluster
    finally:
        for _ in stop(services):
            pass


async def _run(cluster: LocalCluster, short: bool, only: Sequence[str]) -> list[Result]:
    results = []
    async with truth_of(cluster) as truth:
        for case in cases(cluster.plan, short=short):
            if not only or any(part in case.name for part in only):
                results.append(await run_case(cluster, case, truth, partial(_say, case.name)))
                _say(case.name, results[-1].failure or f"{results[-1].acked} acknowledged, nothing lost or twice")
    return results


def _say(case: str, step: str) -> None:
    _notes.print(f"  {case}: {step}", markup=False)


def _table(results: list[Result]) -> Table:
    table = Table(title="Faults under load, each followed by the loss check", title_justify="left")
    table.add_column("fault")
    for column in (
        "acked", "of them meanwhile", "services back, s", "deliveries resumed, s", "acks lost", "duplicates",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for each in results:
        found = ("0", "0") if each.failure is None else ("FAILED", "")
        table.add_row(
            each.case, f"{each.acked:,}", f"{each.acked_meanwhile:,}", f"{each.mended_s:.1f}", f"{each.resumed_s:.1f}",
            *found,
        )  # fmt: skip
    return table


def main(
    short: Annotated[bool, typer.Option("--short", help="Shorter stops, fewer rebalances.")] = False,
    kafka: Annotated[int, typer.Option(help="Brokers: 1 or 3.")] = 1,
    cassandra: Annotated[int, typer.Option(help="Nodes: 1 or 3.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Faults with this in their name; may be repeated.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep the cluster's data and logs here.")] = None,
) -> None:
    """Start a cluster of its own, load it, break it in every way, and check each time that nothing was lost."""
    os.environ.update({**QUICK, **UNLIMITED})
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="tidings-faults-") as scratch:
        try:
            with running(folder or Path(scratch), Plan(kafka=kafka, cassandra=cassandra)) as cluster:
                results = uvloop.run(_run(cluster, short, only or ()))
        except ServiceFailed as error:
            _notes.print(f"no cluster: {error}", style="red", markup=False)
            raise typer.Exit(1) from None
    Console(highlight=False, width=130).print(_table(results))
    failures = [each for each in results if each.failure is not None]
    for each in failures:
        print(f"{each.case}: {each.failure}")
    if failures or not results:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
