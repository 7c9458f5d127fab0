"""The commands and their options. Nothing but Typer is imported until one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.faults import Fault, told

# Help without rich: it would double the time until the first line.
app = typer.Typer(
    help="Tidings: a self-hosted chat backend whose event log is the only truth.\n\n"
    "Settings come from TIDINGS_* variables; options win over them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
events = typer.Typer(help="Look into the event log.", no_args_is_help=True, rich_markup_mode=None)
projections = typer.Typer(help="Look after the read models.", no_args_is_help=True, rich_markup_mode=None)
admin = typer.Typer(help="Users and their roles.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(events, name="events")
app.add_typer(projections, name="projections")
app.add_typer(admin, name="admin")

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Data directory.  [env: TIDINGS_DATA; default: data]", show_default=False
    ),
]
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
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def main() -> None:
    """The console script."""
    app(prog_name="tidings")


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


@events.command()
def tail(
    begin: Annotated[
        str, typer.Option("--from", metavar="start|end|P:O", help="Where to begin; P:O is partition and offset.")
    ] = "end",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more, or stop at the log's end.")
    ] = True,
    chat: Annotated[str | None, typer.Option(metavar="CHAT_ID", help="Only this chat.", show_default=False)] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Only this type, such as message.sent.", show_default=False),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Only what this user (id or username) did or underwent.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many lines; 0: never.")] = 0,
    data: Data = None,
) -> None:
    """Print events as NDJSON, as they are in the log, while the server runs or not.

    Message bodies stay sealed. A record that cannot be read is printed with an "error".
    """
    with told():
        import sys

        from infra.cli.tail import Filter, starts
        from infra.cli.tail import tail as run
        from infra.log_readers import open_log_reader

        settings = _settings(data)
        wanted = Filter(chat, _type(kind), None if user is None else _user_id(settings, user))
        reader = open_log_reader(settings)
        try:
            try:
                offsets = starts(begin, reader.ends())
            except ValueError as error:
                raise Fault(str(error), "give --from one of these", 2) from error
            run(reader, offsets, wanted, sys.stdout, follow, limit)
        finally:
            reader.close()


@projections.command("hash")
def hash_views(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Fold the whole log again, beside the server, and compare.")
    ] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Print the SHA-256 over all rows of the served read models. Exit status 1 if a rebuild gives another."""
    with told():
        from infra.cli.hashing import run

        if not run(_settings(data).data, rebuild, as_json):
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
        from dataclasses import asdict

        from infra.cli.admin import users as all_users

        settings = _settings(data)

        async def show() -> None:
            async for user in all_users(settings):
                print(json.dumps(asdict(user), ensure_ascii=False))

        asyncio.run(show())


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
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("tidings"))


def _settings(data: Path | None) -> Any:
    from infra.settings import load_settings

    return load_settings({"data": data})


def _type(kind: str | None) -> str | None:
    from events.types import NEWEST

    if kind is not None and kind not in NEWEST:
        raise Fault(f"there is no event type {kind}", f"it is one of {', '.join(NEWEST)}", 2)
    return kind


def _user_id(settings: Any, user: str) -> str:
    import asyncio

    from events.ids import is_uuid7
    from infra.cli.admin import user_id_of

    return user if is_uuid7(user) else asyncio.run(user_id_of(settings, user))


def _set_admin(username: str, is_admin: bool, data: Path | None) -> None:
    with told():
        import asyncio

        from infra.cli.admin import set_admin

        asyncio.run(set_admin(_settings(data), username, is_admin))
