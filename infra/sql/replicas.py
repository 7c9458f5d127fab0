"""Reads that may be some seconds old go to replicas: to the one with the fewest reads under way.

A replica that lags, stands still or was promoted is not used, for what was erased must not be shown from it. How far
each has come is compared with the primary every few seconds. One that fails is not asked again before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as QueueTimeout

from infra.sql.places import Place, T, Work
from infra.sql.postgres_place import PostgresPlace

CHECK_S = 2.0
MAX_LAG_S = 10.0
"""What the primary had so long ago a replica must have now."""
PATIENCE_S = 1.0
"""A replica that hangs costs a read this long, once."""

_FAILURES = (DBAPIError, QueueTimeout, OSError)

log = logging.getLogger(__name__)


class Replica:
    """`is_fit`: whether it may be asked."""

    def __init__(self, place: PostgresPlace, name: str) -> None:
        self.place = place
        self.name = name
        self.is_fit = False

    def judge(self, is_fit: bool, why: str) -> None:
        if is_fit != self.is_fit:
            log.log(logging.INFO if is_fit else logging.WARNING, "replica %s: %s", self.name, why)
        self.is_fit = is_fit


class Replicas:
    """Reads on replicas, and on the primary where no replica is fit."""

    def __init__(
        self, primary: Place, replicas: Sequence[Replica], *, check_s: float = CHECK_S, max_lag_s: float = MAX_LAG_S
    ) -> None:
        self._primary = primary
        self._replicas = replicas
        self._check_s = check_s
        self._max_lag_s = max_lag_s
        self._positions: deque[tuple[float, int]] = deque()
        """Where the primary stood, and when; the oldest first."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Compare once, and go on comparing."""
        await self.compare()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await asyncio.gather(*(replica.place.close() for replica in self._replicas))

    async def read(self, work: Work[T]) -> T:
        """What `work` finds, perhaps `max_lag_s` and one check late. Raises the driver's errors of the primary."""
        for replica in sorted(self._replicas, key=lambda each: each.place.under_way):
            if replica.is_fit:
                try:
                    return await replica.place.read(work)
                except _FAILURES as error:
                    replica.judge(False, f"failed: {error}")
        return await self._primary.read(work)

    async def compare(self) -> None:
        """Judge all replicas."""
        now = asyncio.get_running_loop().time()
        # Without the primary nothing new is written, and what it had long ago counts on.
        with suppress(*_FAILURES):
            self._positions.append((now, await self._primary.read(_primary_position)))
        while len(self._positions) > 1 and self._positions[1][0] <= now - self._max_lag_s:
            self._positions.popleft()
        needed = self._positions[0][1] if self._positions else None
        await asyncio.gather(*(self._judge(replica, needed) for replica in self._replicas))

    async def _judge(self, replica: Replica, needed: int | None) -> None:
        try:
            position = await replica.place.read(_replica_position)
        except _FAILURES as error:
            replica.judge(False, f"cannot be reached: {error}")
            return
        if position is None:
            replica.judge(False, "is no replica any more")
        elif needed is None:
            replica.judge(False, "the primary has never been seen")
        else:
            replica.judge(position >= needed, f"stands {max(needed - position, 0)} bytes behind")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            await self.compare()


def _primary_position(db: Connection) -> int:
    """Bytes of log written."""
    return int(db.execute(text("SELECT pg_current_wal_lsn() - '0/0'")).scalar_one())


def _replica_position(db: Connection) -> int | None:
    """Bytes of log carried out; None for a server that is no replica."""
    asked = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END"
    position = db.execute(text(asked)).scalar_one()
    return None if position is None else int(position)
