"""The commands `tidings push …`."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.faults import told
from infra.cli.options import Data, Json, settings_of

push = typer.Typer(help="Pushes to devices.", no_args_is_help=True, rich_markup_mode=None)


@push.command("test")
def send_one(
    device: Annotated[str, typer.Option("--device", metavar="ID", help="A device, as its app named it.")],
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="Whose device, if several have one of this name.")
    ] = None,
    data: Data = None,
) -> None:
    """Send one push to a device, over the provider that is set up, and say what became of it."""
    with told():
        import asyncio

        from infra.cli.push import send_test

        print(asyncio.run(send_test(settings_of(data), device, user)))


@push.command("log")
def show(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many, the newest.")] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """What became of the pushes of an embedded server: one line each, the oldest first; --json gives NDJSON.

    No line has a text in it: tidings at opens messages, with --reveal.
    """
    with told():
        from infra.cli.push import show_log

        show_log(settings_of(data), limit, as_json)
