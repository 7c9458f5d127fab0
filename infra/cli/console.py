"""What people see on a terminal: progress and tables. All of it goes to stderr, but for a command's own answer."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class _Answers(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end with status 1, in silence; `told` knows better."""
        raise BrokenPipeError


def answers() -> Console:
    """Stdout: what the command was asked for."""
    return _Answers(highlight=False, soft_wrap=True)


def remarks() -> Console:
    """Stderr: everything else."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def progress() -> Progress:
    """Bars for work that may take over a second; they vanish when it is done, and without a terminal none is drawn."""
    out = remarks()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    )
