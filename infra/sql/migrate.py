"""Bring the tables up to date. Starting twice at once is safe: one waits for the other's lock.

Releases run beside each other while one takes the other's place, so a process may meet tables that a newer one has
migrated. Each migration says, as `oldest_code`, the oldest revision whose code works with what it leaves behind; the
newest such word is kept in the database, where code that lacks the migration reads whether it may go on (ADR 0064).
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, insert, select, text, update

from commands.errors import Corrupt
from infra.sql.tables import InstallationRow

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST = "oldest_code"
"""The name of what is kept, and in a migration's file the name of what it says."""
_ADVISORY_LOCK = 7_413_098_250_667_201
"""PostgreSQL's advisory lock for migrations: any number that nobody else uses."""

log = logging.getLogger(__name__)


class TooNew(Corrupt):
    """Tables that a newer release has changed so that this one cannot use them."""


def upgrade(connection: Connection, migrations: Path = MIGRATIONS) -> None:
    """Run what is missing, within the connection's transaction. Raises TooNew, Corrupt and the driver's errors."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = configuration(migrations)
    scripts = ScriptDirectory.from_config(config)
    found, newest = MigrationContext.configure(connection).get_current_revision(), scripts.get_current_head()
    assert newest is not None, "there are migrations"
    if is_newer(scripts, found):
        refusal = why_not(connection, found, newest)
        if refusal:
            raise TooNew(refusal)
        log.warning("the accounts are at revision %s of a newer release; this one knows %s, and works", found, newest)
        return
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Corrupt(
            f"the accounts are at revision {found}, which no release made: restore a backup "
            "(docs/operating.md, A damaged file)"
        ) from error
    _keep(connection, max(script.module.oldest_code for script in scripts.walk_revisions()))


def configuration(migrations: Path = MIGRATIONS) -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def is_newer(scripts: ScriptDirectory, revision: str | None) -> bool:
    """Whether a revision comes after all of ours, whose numbers rise."""
    return revision is not None and revision > max(script.revision for script in scripts.walk_revisions())


def why_not(connection: Connection, found: str | None, newest: str) -> str:
    """Why code whose newest revision is `newest` cannot use tables at `found`; empty where it can."""
    oldest = _kept(connection)
    if oldest is not None and oldest <= newest:
        return ""
    needs = f"revision {oldest} or later" if oldest is not None else "a release that knows it"
    return (
        f"the accounts are at revision {found}, made by a newer release, and need {needs}; this one knows "
        f"{newest}: start the newer release, or restore a backup from before it"
    )


def _kept(connection: Connection) -> str | None:
    value = connection.scalar(select(InstallationRow.value).where(InstallationRow.name == OLDEST))
    return None if value is None else value.decode("ascii")


def _keep(connection: Connection, oldest: str) -> None:
    kept = _kept(connection)
    if kept == oldest:
        return
    value = oldest.encode("ascii")
    if kept is None:
        connection.execute(insert(InstallationRow).values(name=OLDEST, value=value))
    else:
        connection.execute(update(InstallationRow).where(InstallationRow.name == OLDEST).values(value=value))
