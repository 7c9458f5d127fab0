"""Transactions on PostgreSQL, by psycopg on the event loop (ADR 0021)."""

from __future__ import annotations

import asyncio

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from infra.sql.places import T, Work

CONNECTIONS = 10
PATIENCE_S = 5.0
"""How long a transaction may take, its wait for a connection included."""
CONNECT_S = 3


class PostgresPlace:
    """See `Place`. A server that does not answer in time costs the connection, not the caller."""

    def __init__(self, url: URL, *, patience_s: float = PATIENCE_S) -> None:
        self._engine = create_async_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=patience_s,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_S, "application_name": "tidings"},
        )
        self._patience_s = patience_s

    async def read(self, work: Work[T]) -> T:
        async with asyncio.timeout(self._patience_s), self._engine.connect() as db:
            return await db.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        async with asyncio.timeout(self._patience_s), self._engine.connect() as db:
            return await _transaction(db, work)

    async def close(self) -> None:
        await self._engine.dispose()


async def _transaction(db: AsyncConnection, work: Work[T]) -> T:
    async with db.begin():
        return await db.run_sync(work)
