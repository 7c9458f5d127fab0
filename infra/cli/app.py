"""The commands and their options. Nothing but Typer is imported until one of them runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from infra.cli.at_command import at
from infra.cli.backup_commands import backup, restore
from infra.cli.cluster import cluster
from infra.cli.event_commands import events
from infra.cli.faults import INTERRUPTED, Fault, explain, told
from infra.cli.letter_commands import letters
from infra.cli.model_commands import models
from infra.cli.options import Data, Json, settings_of
from infra.cli.projection_commands import projections
from infra.cli.push_commands import push
from infra.cli.sql_command import sql
from infra.cli.stats_command import stats
from infra.masking import mask_tracebacks

# Help without rich: it would double the time until the first line.
app = typer.Typer(
    help="Tidings: a self-hosted chat backend whose event log is the only truth.\n\n"
    "Settings come from TIDINGS_* variables; options win over them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
admin = typer.Typer(help="Users and their roles.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(events, name="events")
app.add_typer(projections, name="projections")
app.add_typer(letters, name="dead-letters")
app.add_typer(admin, name="admin")
app.add_typer(models, name="models")
app.add_typer(push, name="push")
app.add_typer(cluster, name="cluster")
# `-1h` is a time, not an option.
app.command(context_settings={"ignore_unknown_options": True})(at)
app.command()(sql)
app.command()(stats)
app.command()(backup)
app.command()(restore)

Host = Annotated[
    str | None,
    typer.Option(
        metavar="HOST", help="Address to listen on.  [env: TIDINGS_HOST; default: 127.0.0.1]", show_default=False
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        min=0,
        max=65_535,
        help="Port, 0 for any free one.  [env: TIDINGS_PORT; default: 8000]",
        show_default=False,
    ),
]


def main() -> None:
    """The console script."""
    mask_tracebacks()
    # Closed by whoever started us: what is told to nobody goes nowhere.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    try:
        app(prog_name="tidings")
    except KeyboardInterrupt:  # while a command was still being imported
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:  # of help and the like; commands tell their own
        fault = explain(error)
        if fault is None:
            raise
        raise SystemExit(f"tidings: {fault}") from None


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # for as long as the process runs


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Make two demo users and some chats, and print an address that signs in as both."),
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the address in a browser, if there is a display.")
    ] = False,
) -> None:
    """Serve everything on one port until Ctrl-C or SIGTERM.

    The address goes to stdout, the log to stderr. --demo only listens on this machine's own address.
    """
    with told():
        from infra.settings import load_settings

        settings = load_settings({"host": host, "port": port, "data": data})
        from infra.cli import serving

        serving.serve(settings, demo, open_browser)


@app.command()
def gateway(host: Host = None, port: Port = None) -> None:
    """Serve clients as one of the gateways of a cluster, until Ctrl-C or SIGTERM.

    Kafka, Cassandra, Redis, PostgreSQL and both secrets come from TIDINGS_* variables; tidings doctor tells what is
    missing. The address goes to stdout, the log to stderr.
    """
    with told():
        from infra.settings import load_settings

        settings = load_settings({"host": host, "port": port})
        from infra.cli import serving

        serving.gateway(settings)


@app.command()
def worker(host: Host = None, port: Port = None) -> None:
    """Fold the log of a cluster into the views, beside other workers, until Ctrl-C or SIGTERM.

    TIDINGS_NODE names it: a worker that comes back under its name gets the same partitions again. The port answers
    /healthz, /readyz and /metrics.
    """
    with told():
        from infra.settings import load_settings

        settings = load_settings({"host": host, "port": port})
        from infra.cli import serving

        serving.worker(settings)


@app.command()
def doctor(host: Host = None, port: Port = None, data: Data = None, as_json: Json = False) -> None:
    """Show what is set up, what is missing and how to mend it. Exit status 1 if something fails."""
    with told():
        from infra.cli.doctor import run

        if not run({"host": host, "port": port, "data": data}, as_json):
            raise typer.Exit(1)


@admin.command()
def grant(username: Annotated[str, typer.Argument(metavar="USER")], data: Data = None) -> None:
    """Make a user an administrator. Their tokens say so from the next refresh on, within 15 minutes."""
    _set_admin(username, True, data)


@admin.command()
def revoke(username: Annotated[str, typer.Argument(metavar="USER")], data: Data = None) -> None:
    """Take the role of administrator away."""
    _set_admin(username, False, data)


@admin.command()
def users(data: Data = None) -> None:
    """List users as NDJSON: user_id, username and display_name."""
    with told():
        import asyncio
        import json
        from contextlib import aclosing
        from dataclasses import asdict

        from infra.cli.admin import users as all_users

        settings = settings_of(data)

        async def show() -> None:
            async with aclosing(all_users(settings)) as found:
                async for user in found:
                    print(json.dumps(asdict(user), ensure_ascii=False))

        asyncio.run(show())


@admin.command()
def destroyed(data: Data = None) -> None:
    """List as NDJSON whose sealing keys were destroyed, and when: what a restore of an older backup must be told."""
    with told():
        import asyncio

        from infra.backup.erasures import as_line
        from infra.cli.admin import destroyed as all_destroyed

        for user_id, at in asyncio.run(all_destroyed(settings_of(data))):
            print(as_line(user_id, at))


@admin.command()
def reveals(data: Data = None) -> None:
    """List as NDJSON who had message bodies opened at the command line: at, who and what for."""
    with told():
        import asyncio
        import json

        from infra.cli.admin import reveals as all_reveals

        for one in asyncio.run(all_reveals(settings_of(data))):
            print(json.dumps({"at": one.at.isoformat(), "who": one.who, "what": one.what}, ensure_ascii=False))


@app.command()
def demo(
    url: Annotated[str, typer.Option(help="The server to talk to.")] = "http://127.0.0.1:8000",
    count: Annotated[int, typer.Option("--users", min=2, max=50, help="How many scripted users.")] = 6,
    rate: Annotated[float, typer.Option(min=0.01, max=100, help="Messages a second, of all together.")] = 0.7,
    company: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="USER",
            help="Also talk with this user.  [default: the server's demo users]",
            show_default=False,
        ),
    ] = None,
    messages: Annotated[int, typer.Option(min=0, help="Stop after so many messages; 0: on Ctrl-C.")] = 0,
) -> None:
    """Let scripted users chat on a running server.

    They register as demo-…, type, answer and read over the public API until Ctrl-C. Start it beside ./dev run and
    watch.
    """
    with told():
        from infra.cli.live_demo import run

        run(url, count, rate, company, messages)


@app.command()
def audit(
    continuous: Annotated[bool, typer.Option("--continuous", help="Go on until something is wrong.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.0, help="Seconds between two rounds.")] = 60.0,
    host: Host = None,
    port: Annotated[
        int | None,
        typer.Option(help="Tell results at /metrics of this port, and go on whatever is found.", min=0, max=65_535),
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Count whether the read models account for every record of the log, chat by chat. Exit status 1 if not.

    Log events are applied, void, repeats or parked; numbers are dense; heads are the timeline's; marks are within it.
    """
    with told():
        from infra.cli import audit_metrics, auditing, generations

        if port is not None and not continuous:
            raise Fault("--port is for an audit that goes on", "add --continuous", 2)

        async def work(estate: Any) -> bool:
            if port is not None:
                return await audit_metrics.continuously(estate, every, as_json, host, port)
            if continuous:
                return await auditing.continuously(estate, every, as_json)
            return await auditing.once(estate, as_json)

        if not generations.run(settings_of(data), work):
            raise typer.Exit(1)


@app.command()
def repair(
    chat_id: Annotated[str, typer.Argument(metavar="CHAT")],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Fold one chat anew from the log, and mend its rows in the served read models where they differ.

    Works beside a server or a cluster: the chat's new messages wait meanwhile, for a second or so; all others go on.
    Exit status 1 if the audit still finds something.
    """
    with told():
        from infra.cli import generations, repairing

        if not generations.run(settings_of(data), lambda estate: repairing.repair(estate, chat_id, as_json)):
            raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("tidings"))


def _set_admin(username: str, is_admin: bool, data: Path | None) -> None:
    with told():
        import asyncio

        from infra.cli.admin import set_admin

        asyncio.run(set_admin(settings_of(data), username, is_admin))
