"""What people see while a cluster comes up or goes down, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from infra.cli.console import remarks
from infra.cluster.starting import Report

_DONE = {"ready": "green", "stopped": "green", "failed": "bold red", "left out": "yellow"}


class Progress:
    """On a terminal a line for each service, with what it is doing; elsewhere a line for each that is done."""

    def __init__(self, out: Console, names: Sequence[str]) -> None:
        self._out = out
        self._steps: dict[str, Report | None] = dict.fromkeys(names)
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        if not self._out.is_terminal:
            yield self
            return
        with Live(console=self._out, get_renderable=self._table, refresh_per_second=8) as self._live:
            yield self

    def follow(self, reports: Iterable[Report]) -> list[Report]:
        """Show reports until there are no more; gives those of services that failed."""
        failed = []
        for report in reports:
            self._steps[report.name] = report
            if report.step == "failed":
                failed.append(report)
            if self._live is None and report.step in _DONE:
                self._out.print(f"{report.name}: {report.step} after {report.seconds:.1f} s")
        return failed

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, report in self._steps.items():
            if report is None:
                table.add_row(" ", name, Text("waiting", "dim"))
            elif report.step in _DONE:
                table.add_row(Text("*", _DONE[report.step]), name, Text(f"{report.step} after {report.seconds:.1f} s"))
            else:
                table.add_row(Spinner("line"), name, report.step)
        return table


def progress(names: Sequence[str]) -> Progress:
    return Progress(remarks(), names)
