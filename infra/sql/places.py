"""Where transactions run. A transaction is a function of a connection, which may be called on any thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]


class Place(Protocol):
    """A pool of connections to one database. Raises the driver's errors, and TimeoutError where it took too long."""

    @property
    def file(self) -> Path | None:
        """Where it lies, if it is one of SQLite's."""

    async def read(self, work: Work[T]) -> T:
        """Without a transaction that others would have to wait for."""

    async def write(self, work: Work[T]) -> T:
        """A transaction: all of it is durable on return, or none. Where the outcome is unknown it raises."""

    async def close(self) -> None: ...
