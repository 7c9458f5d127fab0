"""`tidings sql`. Nothing but Typer is imported until it runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from infra.cli.faults import told
from infra.cli.options import Data, settings_of


class Output(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to ask, in DuckDB's SQL; - reads it from stdin.")],
    place: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="DIR|s3://…",
            help="Ask an export.  [default: the log as it is now]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Output, typer.Option(help="How to write the answer.")] = Output.table,
    data: Data = None,
) -> None:
    """Ask the events in SQL, of an export or of the log itself.

    `events` has every event's envelope; each type has a view with its fields, such as message_sent.
    """
    with told():
        from infra.analysts import extra

        with extra():
            from infra.cli.sql import run

            run(settings_of(data), query, place, output.value)
