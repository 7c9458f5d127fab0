"""`tidings at`. Nothing but Typer is imported until it runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from infra.cli.event_commands import Format, Reveal, Style
from infra.cli.faults import told
from infra.cli.options import Data, settings_of, user_id_of


class Kind(StrEnum):
    chat = "chat"
    inbox = "inbox"


def at(
    place: Annotated[
        str, typer.Argument(metavar="TIME|POSITION", help="As --from of `events tail`; what is there counts in.")
    ],
    kind: Annotated[Kind, typer.Argument(help="What to show.")],
    who: Annotated[str, typer.Argument(metavar="CHAT|USER", help="A chat's id; a user's id or name.")],
    viewer: Annotated[
        str | None,
        typer.Option("--as", metavar="USER", help="A chat as this member saw it.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="The newest so many messages or chats; 0: all.")] = 0,
    style: Format = Style.json,
    reveal: Reveal = False,
    data: Data = None,
) -> None:
    """Show a chat or a user's list of chats as it was, folded from the log alone.

    Message bodies stay sealed unless --reveal is given. Who muted what is not in the log, and so not shown.
    """
    with told():
        import asyncio
        from contextlib import ExitStack, closing
        from datetime import UTC, datetime

        from infra.cli import past
        from infra.log_readers import discards_of, open_log_reader

        settings = settings_of(data)
        now = datetime.now(UTC)
        with ExitStack() as stack:
            reader = stack.enter_context(closing(open_log_reader(settings)))
            discards = discards_of(settings)
            opened = None
            if reveal:
                from infra.cli.reveal import revealing

                opened = stack.enter_context(revealing(settings, f"at {place} {kind} {who}")).texts
            if kind is Kind.inbox:
                user_id = user_id_of(settings, who)
                inbox = asyncio.run(past.inbox_at(reader, discards, place, now, user_id, limit, opened))
                print(past.as_json(inbox) if style is Style.json else past.inbox_table(inbox))
                return
            member = None if viewer is None else user_id_of(settings, viewer)
            chat = asyncio.run(past.chat_at(reader, discards, place, now, who, member, limit, opened))
            print(past.as_json(chat) if style is Style.json else past.chat_table(chat))
