"""`tidings events …`: the log as a product. Nothing but Typer is imported until a command runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.faults import told
from infra.cli.options import Data, event_types, settings_of, user_id_of

events = typer.Typer(
    help="Read the event log: print it, export it, replay it.", no_args_is_help=True, rich_markup_mode=None
)

PLACES = "start, end, P:O (partition and offset), a time (RFC 3339), or -1h (s, m, h, d, w)"


class Style(StrEnum):
    json = "json"
    table = "table"


Until = Annotated[
    str | None,
    typer.Option("--until", metavar="PLACE", help="Where to stop, exclusive; as --from.", show_default=False),
]
Chat = Annotated[str | None, typer.Option("--chat", metavar="CHAT_ID", help="Only this chat.", show_default=False)]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type", metavar="TYPE", help="Only this type, such as message.sent; may be repeated.", show_default=False
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="USER", help="Only what this user (id or username) did or underwent.", show_default=False
    ),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Open message bodies. Who does so is noted beside the keys.")]
Format = Annotated[Style, typer.Option("--format", help="A line of JSON, or columns.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Stop after so many lines; 0: never.")]


@events.command()
def tail(
    begin: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to begin: {PLACES}.")] = "end",
    until: Until = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more, or stop at the log's end.")
    ] = True,
    chat: Chat = None,
    kind: Types = None,
    user: User = None,
    style: Format = Style.json,
    reveal: Reveal = False,
    limit: Limit = 0,
    data: Data = None,
) -> None:
    """Print events as they come, one a line, while the server runs or not.

    Message bodies stay sealed. A record that cannot be read is printed with an "error".
    """
    _print(begin, until, follow, chat, kind, user, style, reveal, limit, data)


@events.command()
def cat(
    begin: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to begin: {PLACES}.")] = "start",
    until: Until = None,
    chat: Chat = None,
    kind: Types = None,
    user: User = None,
    style: Format = Style.json,
    reveal: Reveal = False,
    limit: Limit = 0,
    data: Data = None,
) -> None:
    """Print events as `tail` does, up to the log's end as it is now."""
    _print(begin, until, False, chat, kind, user, style, reveal, limit, data)


@events.command()
def export(
    out: Annotated[str, typer.Option("--out", metavar="DIR|s3://…", help="Folder, or bucket and prefix.")],
    since: Annotated[
        bool, typer.Option("--since-manifest", help="Only what came after the last export, as its manifest tells.")
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MANIFEST]",
            help="For --since-manifest: a manifest from elsewhere.  [default: the one in DIR]",
            show_default=False,
        ),
    ] = None,
    begin: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to begin: {PLACES}.")] = "start",
    until: Until = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes.  [default: one for each core]", show_default=False)
    ] = None,
    data: Data = None,
) -> None:
    """Write events as Parquet, by date and hour, with a manifest; bodies stay sealed.

    The same span gives the same files, byte by byte. One that was stopped goes on where it stopped when the same
    command is given again. Prints the manifest's counts.
    """
    with told():
        from infra.analysts import extra

        with extra():
            from infra.cli.export import run

            run(settings_of(data), out, since, manifest, begin, until, workers)


@events.command()
def replay(
    into: Annotated[
        str,
        typer.Option(
            "--into",
            metavar="TOPIC|URL",
            help="A scratch topic, kafka://HOST:PORT/TOPIC, file:///DIR (a log of its own, for tidings serve), or "
            "http(s)://… (POSTs of JSON lines).",
        ),
    ],
    begin: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to begin: {PLACES}.")] = "start",
    until: Annotated[
        str | None,
        typer.Option(
            "--to", "--until", metavar="PLACE", help="Where to stop, exclusive; as --from.", show_default=False
        ),
    ] = None,
    speed: Annotated[
        str, typer.Option(metavar="1|10|max", help="How many times faster than it happened; max: without waits.")
    ] = "1",
    chat: Chat = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
    data: Data = None,
) -> None:
    """Replay events elsewhere, in their order and with their spacing. The live topics are refused.

    Prints how many there were, as JSON.
    """
    with told():
        from infra.cli.replay import run

        run(settings_of(data), begin, until, speed, into, chat, dry_run)


def _print(
    begin: str,
    until: str | None,
    follow: bool,
    chat: str | None,
    kind: list[str] | None,
    user: str | None,
    style: Style,
    reveal: bool,
    limit: int,
    data: Path | None,
) -> None:
    with told():
        import sys
        from contextlib import ExitStack, closing
        from datetime import UTC, datetime

        from infra.cli.lines import Filter
        from infra.cli.tail import Bounds, Span
        from infra.cli.tail import tail as run
        from infra.log_readers import open_log_reader

        settings = settings_of(data)
        wanted = Filter(chat, event_types(kind), None if user is None else user_id_of(settings, user))
        with ExitStack() as stack:
            reader = stack.enter_context(closing(open_log_reader(settings)))
            bounds = Bounds(reader, Span(begin, until, chat), lambda: datetime.now(UTC))
            opened = None
            if reveal:
                from infra.cli.reveal import revealing

                command = f"events from {begin} until {until}: chat {chat}, user {user}, types {kind}"
                opened = stack.enter_context(revealing(settings, command)).texts
            run(reader, bounds, wanted, sys.stdout, follow=follow, limit=limit, style=style.value, opened=opened)
