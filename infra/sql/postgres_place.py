"""Transactions on PostgreSQL, by psycopg on the event loop (ADR 0021)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine

from infra.sql.places import T, Work

CONNECTIONS = 10
PATIENCE_S = 5.0
"""How long a transaction may take, its wait for a connection included."""
CONNECT_S = 2


class PostgresPlace:
    """See `Place`. A server that does not answer costs a connection, and the caller no more than its patience."""

    def __init__(self, url: URL, *, patience_s: float = PATIENCE_S, connections: int = CONNECTIONS) -> None:
        self._engine = create_async_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,  # else names and tokens stand in errors, and so in logs
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            use_native_hstore=False,  # else every new connection asks for a type that we do not use
            connect_args={"connect_timeout": CONNECT_S, "application_name": "tidings"},
        )
        self._patience_s = patience_s
        self._given_up: set[asyncio.Task[Any]] = set()
        self.under_way = 0
        """Transactions that somebody waits for, or that could not be ended yet."""

    @property
    def file(self) -> None:
        return None

    async def read(self, work: Work[T]) -> T:
        async def whole() -> T:
            async with self._engine.connect() as db:
                return await db.run_sync(work)

        return await self._within_patience(whole())

    async def write(self, work: Work[T]) -> T:
        async def whole() -> T:
            async with self._engine.begin() as db:
                return await db.run_sync(work)

        return await self._within_patience(whole())

    async def close(self) -> None:
        await asyncio.gather(*self._given_up, return_exceptions=True)
        await self._engine.dispose()

    async def _within_patience(self, work: Coroutine[Any, Any, T]) -> T:
        """psycopg asks a server that hangs to cancel, and waits for it: seconds that the caller need not wait."""
        task = asyncio.get_running_loop().create_task(work)
        self.under_way += 1
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait([task], timeout=self._patience_s)
        finally:
            if not task.done():
                self._given_up.add(task)
                task.cancel()
        if not task.done():
            raise TimeoutError("PostgreSQL does not answer")
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.under_way -= 1
        if task in self._given_up:
            self._given_up.discard(task)
            if not task.cancelled():
                task.exception()  # nobody asks any more
