"""`tidings stats`. Nothing but Typer is imported until it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.event_commands import PLACES, Style, Until
from infra.cli.faults import told
from infra.cli.options import Data, settings_of


def stats(
    begin: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to begin: {PLACES}.")] = "start",
    until: Until = None,
    style: Annotated[Style, typer.Option("--format", help="Columns with a plot, or JSON.")] = Style.table,
    data: Data = None,
) -> None:
    """Count a span of the log: events by type and hour, active chats and users, delivery and read latency.

    The log is folded from its beginning for it, beside the server, into a file that passes.
    """
    with told():
        from infra.cli.stats import run

        run(settings_of(data), begin, until, style.value)
