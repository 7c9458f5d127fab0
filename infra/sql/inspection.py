"""Looking at a database of accounts without changing it: how old its tables are, and whose master key it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select

from infra.sql.database import driver_errors, place_of
from infra.sql.migrate import configuration, is_newer, why_not
from infra.sql.tables import InstallationRow, UserRow


@dataclass(frozen=True, slots=True)
class Inspection:
    """`revision`: the last migration that ran, None where none did; `fingerprint`: of the master key in use."""

    revision: str | None
    newest: str
    """That this release knows."""
    newer: bool
    """A newer release has migrated it."""
    too_new: str
    """Why this release cannot use it; empty where it can."""
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
    scripts = ScriptDirectory.from_config(configuration())
    newest = scripts.get_current_head()
    assert newest is not None, "there are migrations"
    newer = is_newer(scripts, revision)
    too_new = why_not(db, revision, newest) if newer else ""
    fingerprint, users, users_ever = None, 0, False
    if inspect(db).has_table(InstallationRow.__tablename__):
        fingerprint = db.scalar(select(InstallationRow.value).where(InstallationRow.name == "master_key"))
        users = db.scalar(select(func.count()).select_from(UserRow).where(UserRow.erased_at.is_(None))) or 0
        users_ever = db.scalar(select(UserRow.user_id).limit(1)) is not None
    return Inspection(revision, newest, newer, too_new, fingerprint, users, users_ever)
