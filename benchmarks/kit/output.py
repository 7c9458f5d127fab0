"""Results on stdout as a table, progress on stderr, and the same figures as JSON in a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_WIDTH = 160

notes = Console(stderr=True, highlight=False)


def progress() -> Progress:
    """A bar on stderr; silent where nobody watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=notes,
        disable=not notes.is_terminal,
    )


def show(heading: str, *parts: Table | str) -> None:
    """Print a report."""
    # A table into a file must not be folded to a terminal's width.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(heading, markup=False)
    for part in parts:
        console.print()
        console.print(part, markup=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The first column holds names, the others figures."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left")
    for row in rows:
        made.add_row(*row)
    return made


def save(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write figures as JSON, unless no file was asked for."""
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
