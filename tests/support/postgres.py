"""Databases of a test's own on a PostgreSQL server that tests share."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from infra.cluster.postgres import Postgres
from infra.master_key import MasterKey
from infra.sql.database import Database
from tests.support.people import MASTER

_templates: set[str] = set()
"""Servers that have a database with all tables, of which others are copies: copying is quicker than migrating."""


def url_of(server: Postgres, database: str) -> str:
    return make_url(server.url).set(database=database).render_as_string(hide_password=False)


async def empty_database(server: Postgres) -> str:
    """The URL of a database without tables."""
    name = f"accounts_{uuid4().hex}"
    await _run(server, f"CREATE DATABASE {name}")
    return url_of(server, name)


async def database(server: Postgres) -> str:
    """The URL of a database that was opened before and holds nobody."""
    if server.url not in _templates:
        await _run(server, "CREATE DATABASE accounts_template")
        made = await Database.open(url_of(server, "accounts_template"), MasterKey(MASTER))
        await made.close()
        _templates.add(server.url)
    name = f"accounts_{uuid4().hex}"
    await _run(server, f"CREATE DATABASE {name} TEMPLATE accounts_template")
    return url_of(server, name)


async def _run(server: Postgres, statement: str) -> None:
    engine = create_async_engine(make_url(server.url), isolation_level="AUTOCOMMIT")
    async with engine.connect() as db:
        await db.execute(text(statement))
    await engine.dispose()
