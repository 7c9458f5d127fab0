"""Bring the tables up to date. Starting twice at once is safe: one waits for the other's lock."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

_ADVISORY_LOCK = 7_413_098_250_667_201
"""PostgreSQL's advisory lock for migrations: any number that nobody else uses."""


def upgrade(connection: Connection) -> None:
    """Run what is missing, within the connection's transaction. Raises the driver's errors."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def configuration() -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
