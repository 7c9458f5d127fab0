"""Options that several files of commands share, and what they come to. Nothing but Typer is imported early."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.faults import Fault

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Data directory.  [env: TIDINGS_DATA; default: data]", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def settings_of(data: Path | None) -> Any:
    """Raises BadSettings."""
    from infra.settings import load_settings

    return load_settings({"data": data})


def event_types(names: list[str] | None) -> frozenset[str]:
    """Raises Fault."""
    from events.types import NEWEST

    for name in names or ():
        if name not in NEWEST:
            raise Fault(f"there is no event type {name}", f"it is one of {', '.join(NEWEST)}", 2)
    return frozenset(names or ())


def user_id_of(settings: Any, user: str) -> str:
    """An id as it is, a username by the accounts. Raises Fault, Unavailable, Corrupt."""
    import asyncio

    from events.ids import is_uuid7
    from infra.cli import admin

    return user if is_uuid7(user) else asyncio.run(admin.user_id_of(settings, user))
