"""The list of those who had sealed bodies opened. It only grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from events.ids import uuid7
from infra.sql.database import Database
from infra.sql.tables import RevealRow


@dataclass(frozen=True, slots=True)
class Reveal:
    """`who`: a user of the operating system, with the machine; `what`: the command."""

    at: datetime
    who: str
    what: str


async def note_reveal(database: Database, reveal: Reveal) -> None:
    """Durable on return. Raises Unavailable."""
    row = {"reveal_id": uuid7(reveal.at), "at": reveal.at, "who": reveal.who[:200], "what": reveal.what}
    await database.write(lambda db: db.execute(insert(RevealRow).values(**row)))


async def reveals(database: Database) -> Sequence[Reveal]:
    """All, oldest first. Raises Unavailable."""
    query = select(RevealRow.at, RevealRow.who, RevealRow.what).order_by(RevealRow.at, RevealRow.reveal_id)
    return await database.read(lambda db: [Reveal(row[0], row[1], row[2]) for row in db.execute(query)])
