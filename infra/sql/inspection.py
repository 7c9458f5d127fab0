"""Looking at a database of accounts without changing it: how old its tables are, and whose master key it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select

from infra.sql.database import driver_errors, place_of
from infra.sql.migrate import configuration
from infra.sql.tables import InstallationRow, UserRow


@dataclass(frozen=True, slots=True)
class Inspection:
    """`revision`: the last migration that ran, None where none did; `fingerprint`: of the master key in use."""

    revision: str | None
    newest: str | None
    fingerprint: bytes | None
    users: int
    users_ever: bool
    """Whether there was anybody, be it somebody who was erased since."""


def read_only_url(path: Path) -> str:
    """The URL of an SQLite file that is only read."""
    return f"sqlite:///{path.resolve().as_uri()}?mode=ro&uri=true"


async def look_at(url: str) -> Inspection:
    """Raises Unavailable."""
    place = place_of(url)
    try:
        with driver_errors(place.file):
            return await place.read(_look)
    finally:
        await place.close()


def _look(db: Connection) -> Inspection:
    revision = MigrationContext.configure(db).get_current_revision()
    newest = ScriptDirectory.from_config(configuration()).get_current_head()
    fingerprint, users, users_ever = None, 0, False
    if inspect(db).has_table(InstallationRow.__tablename__):
        fingerprint = db.scalar(select(InstallationRow.value).where(InstallationRow.name == "master_key"))
        users = db.scalar(select(func.count()).select_from(UserRow).where(UserRow.erased_at.is_(None))) or 0
        users_ever = db.scalar(select(UserRow.user_id).limit(1)) is not None
    return Inspection(revision, newest, fingerprint, users, users_ever)
