"""`tidings dead-letters …`. Nothing but Typer is imported until a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.faults import Fault, told
from infra.cli.options import Data, Json, settings_of

letters = typer.Typer(
    help="Records that could not be folded, and the chats that wait for them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Chat = Annotated[str, typer.Argument(metavar="CHAT_ID")]


@letters.command("list")
def list_letters(as_json: Json = False, data: Data = None) -> None:
    """Show the chats that are parked: from which record on, how many wait behind it, and why."""
    with told():
        from infra.cli import generations
        from infra.cli import letters as work

        generations.run(settings_of(data), lambda estate: work.list_chats(estate, as_json))


@letters.command()
def show(chat_id: Chat, as_json: Json = False, data: Data = None) -> None:
    """Show every record of a chat that waits. Their contents are not shown."""
    with told():
        from infra.cli import generations
        from infra.cli import letters as work

        generations.run(settings_of(data), lambda estate: work.show(estate, chat_id, as_json))


@letters.command()
def retry(chat_id: Chat, data: Data = None) -> None:
    """Fold what waits in a chat again, in order, once the defect is mended. Exit status 1 if it stays parked."""
    with told():
        from infra.cli import generations
        from infra.cli import letters as work

        if not generations.run(settings_of(data), lambda estate: work.retry(estate, chat_id)):
            raise typer.Exit(1)


@letters.command()
def discard(
    place: Annotated[str, typer.Argument(metavar="P:O", help="The record that parks a chat: partition and offset.")],
    data: Data = None,
) -> None:
    """Pass over a record for ever, and fold what waits behind it. Exit status 1 if the chat stays parked."""
    with told():
        from events.log import Position
        from infra.cli import generations
        from infra.cli import letters as work

        try:
            position = Position.parse(place)
        except ValueError as error:
            raise Fault(str(error), "give partition and offset, such as 0:42", 2) from error
        if not generations.run(settings_of(data), lambda estate: work.discard(estate, position)):
            raise typer.Exit(1)
