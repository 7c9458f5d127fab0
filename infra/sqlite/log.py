"""The embedded event log: SQLite in WAL mode with `synchronous=FULL` and group commit.

Appends of one moment share a transaction and one fsync; under load a moment is some milliseconds. Rows are
inserted on the event loop's thread, which costs some microseconds each; only COMMIT, which waits for the disk, goes
to a thread, so the loop never waits and the interpreter's lock is handed over once per commit rather than once per
row (ADR 0005).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter

from msgspec.structs import replace

from commands.errors import Unavailable
from commands.isolation import left_out
from commands.ports import Appended
from events.codec import Event, encode
from events.ids import unix_ms
from events.log import Position, Record
from events.partitioner import partition_of
from infra.sqlite.committer import CHECKPOINT_BYTES, Checkpoints, Committer
from infra.sqlite.database import connect, connect_read_only, translated
from infra.sqlite.log_reader import SHIFT, WAY_OUT, stored_end, stored_latest_ms, stored_meta, stored_records
from streams.measures import LogMeasures

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY,  -- partition * 2^48 + offset
    timestamp_ms INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS traces (
    place INTEGER PRIMARY KEY,  -- of a record whose append was traced
    traceparent TEXT NOT NULL
);
"""
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?)"
_INSERT_TRACE = "INSERT INTO traces VALUES (?, ?)"
_TRACES = "SELECT place, traceparent FROM traces WHERE place >= ? AND place <= ?"
MAX_COMMIT = 1_000
"""Records per transaction: more wait for the next one."""
LINGER_S = 0.010
"""A commit and the batch that follows from it cost some 400 µs whatever they hold. Under load records wait for
company, at most so long …"""
LINGER_RECORDS = 4
"""… if so many are expected to come meanwhile …"""
COMPANY = 32
"""… and no longer than it takes so many to come …"""
ENOUGH = 256
"""… or than it took so many."""
LEAST_ROOM = 1024 * 1024
"""Bytes free on the disk, below which the log is not ready: the largest message needs some of them twice."""
LOOK_EVERY = 64
"""Commits between two looks at the size of the write-ahead log."""
TAIL_RECORDS = 4_096
TAIL_BYTES = 16 * 1024 * 1024


_Pending = tuple[int, str, bytes, Appended, str]
"""(partition, key, value, done, trace)."""


class _Tail:
    """The newest committed records of a partition, so that the runner need not read them back."""

    def __init__(self) -> None:
        self.records: deque[Record] = deque()
        self.size = 0

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.size += len(record.value)
        while len(self.records) > TAIL_RECORDS or self.size > TAIL_BYTES:
            self.size -= len(self.records.popleft().value)

    def read(self, offset: int, limit: int) -> list[Record] | None:
        """Records from `offset` on, or None where the tail does not reach back that far."""
        records = self.records
        if not records or offset < records[0].offset:
            return None
        skip = offset - records[0].offset
        return list(islice(records, skip, skip + limit))


class SqliteLog:
    """The log in one file. Lives on one event loop; one process has it open at a time."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime],
        partitions: int = 1,
        *,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
    ) -> None:
        """Open or create. The partition count of an existing log wins over `partitions`. Raises Unavailable."""
        self._path = path
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._committer = Committer("log-commit")
        self._checkpoints = Checkpoints(path, checkpoint_bytes)
        self._queue: deque[_Pending] = deque()
        self._committing = False
        self._timer: asyncio.Handle | None = None
        self._rate = 0.0
        """Records per second, as of late."""
        self._last_commit = 0.0
        self._closing: asyncio.Future[None] | None = None
        self._waiters: dict[int, list[tuple[int, asyncio.Future[None]]]] = {}
        self._failure: Unavailable | None = None
        """Why the last commit failed; None where it did not."""
        self.commits = 0
        self.measures = LogMeasures()
        self._began = 0.0
        """When the commit under way began, by `perf_counter`."""
        self._open(partitions)

    def _open(self, partitions: int) -> None:
        with translated(self._path, WAY_OUT):
            self._db = connect(self._path, "FULL", way_out=WAY_OUT)
            self._db.executescript(_SCHEMA)
            fresh = {"incarnation": str(uuid.uuid4()), "partitions": str(partitions)}
            self._db.executemany("INSERT OR IGNORE INTO log_meta VALUES (?, ?)", fresh.items())
            self.incarnation, self.partitions = stored_meta(self._db)
            self._reader = connect_read_only(self._path, way_out=WAY_OUT)
            self._next = [stored_end(self._db, partition) for partition in range(self.partitions)]
            self._durable = list(self._next)
            self._latest_ms = stored_latest_ms(self._reader, self.partitions)
            self._tails = [_Tail() for _ in range(self.partitions)]

    def append(self, event: Event, done: Appended) -> None:
        """Queue an event for the next commit; `done` is called after its fsync."""
        self.append_raw(event.chat_id, encode(event), done)

    def append_traced(self, event: Event, done: Appended, trace: str) -> None:
        """As `append`, with a context that comes back with the record."""
        self.append_raw(event.chat_id, encode(event), done, trace)

    def append_raw(self, key: str, value: bytes, done: Appended, trace: str = "") -> None:
        """Queue bytes as they are: what tools that copy logs, and tests of bad records, need."""
        if self._closing is not None:
            done(None, Unavailable("the log is closing"))
            return
        self._queue.append((partition_of(key, self.partitions), key, value, done, trace))
        if self._timer is None:
            if not self._committing:
                self._schedule()
        elif len(self._queue) == ENOUGH:
            self._timer.cancel()
            self._timer = self._loop.call_soon(self._commit)

    def _schedule(self) -> None:
        """Commit at once, or a little later where that lets many records share what a commit costs."""
        if self._rate * LINGER_S >= LINGER_RECORDS and len(self._queue) < ENOUGH:
            self._timer = self._loop.call_later(min(LINGER_S, COMPANY / self._rate), self._commit)
        else:
            self._timer = self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        """Insert what is queued and hand COMMIT to the thread."""
        self._timer = None
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_COMMIT))]
        now = self._loop.time()
        self._rate += 0.2 * (len(batch) / max(now - self._last_commit, LINGER_S) - self._rate)
        self._last_commit = now
        # Never back, whatever the clock does: so a time can be searched for.
        timestamp_ms = self._latest_ms = max(unix_ms(self._now()), self._latest_ms)
        records: list[Record] = []
        ends = list(self._next)
        for partition, key, value, _, trace in batch:
            records.append(Record(partition, ends[partition], timestamp_ms, key, value, trace))
            ends[partition] += 1
        self._committing = True
        self._began = perf_counter()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                _INSERT, [(r.partition << SHIFT | r.offset, r.timestamp_ms, r.key, r.value) for r in records]
            )
            if traces := [(r.partition << SHIFT | r.offset, r.trace) for r in records if r.trace]:
                self._db.executemany(_INSERT_TRACE, traces)
        except sqlite3.Error as error:
            self._loop.call_soon(self._failed, batch, error)
            return
        self._next = ends
        self._committer.submit(partial(self._db.execute, "COMMIT"), partial(self._committed, batch, records))

    def _committed(self, batch: list[_Pending], records: list[Record], error: BaseException | None) -> None:
        if error is not None:
            self._failed(batch, error)
            return
        self.commits += 1
        self._failure = None
        self.measures.commit_s.observe(perf_counter() - self._began)
        self.measures.commit_records.observe(len(records))
        for record in records:
            self._tails[record.partition].add(record)
        self._durable = list(self._next)
        self._go_on()
        for record, (_, _, _, done, _) in zip(records, batch, strict=True):
            try:
                done(Position(record.partition, record.offset), None)
            except Exception:
                left_out("telling who appended")
        self._wake()

    def _failed(self, batch: list[_Pending], error: BaseException) -> None:
        """After a failed commit nobody knows what is on disk: reopen, and number on from what is there."""
        unknown = Unavailable(f"the log could not commit: {error}")
        unknown.__cause__ = error
        try:
            self._db.close()
            self._reader.close()
            self._open(self.partitions)
        except (sqlite3.Error, Unavailable) as again:
            unknown = Unavailable(f"the log cannot be opened: {again}")
            batch = batch + list(self._queue)
            self._queue.clear()
        self._go_on()
        self.measures.failures += len(batch)
        self._failure = unknown
        for _, _, _, done, _ in batch:
            try:
                done(None, unknown)
            except Exception:
                left_out("telling who tried to append")
        self._wake()

    def _go_on(self) -> None:
        """After a commit: checkpoint if it is time, and commit what was queued meanwhile."""
        if self.commits % LOOK_EVERY == 0:
            self._checkpoints.look()
        if self._checkpoints.is_ready:
            self._checkpoints.finish(self._db, self._go_on)
            return
        self._committing = False
        if self._queue:
            self._schedule()
        elif self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def _wake(self) -> None:
        for partition, waiters in self._waiters.items():
            end = self._durable[partition]
            still = []
            for offset, future in waiters:
                if offset >= end:
                    still.append((offset, future))
                elif not future.done():
                    future.set_result(None)
            self._waiters[partition] = still

    @property
    def waiting(self) -> int:
        """Appends that are queued and not committed yet."""
        return len(self._queue)

    def glance(self, partition: int, offset: int) -> Record | None:
        """The durable record there, at once. Raises Unavailable."""
        hot = self._tails[partition].read(offset, 1)
        return next(iter(self.read_stored(partition, offset, 1) if hot is None else hot), None)

    def ends(self) -> dict[int, int]:
        """As `end`, at once."""
        return dict(enumerate(self._durable))

    async def end(self) -> dict[int, int]:
        return self.ends()

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        hot = self._tails[partition].read(offset, limit)
        if hot is not None:
            return hot
        return self.read_stored(partition, offset, limit)

    def read_stored(self, partition: int, offset: int, limit: int) -> list[Record]:
        """Read from the file. Raises Unavailable."""
        with translated(self._path, WAY_OUT):
            records = stored_records(self._reader, partition, offset, limit)
            if not records:
                return records
            places = (partition << SHIFT | records[0].offset, partition << SHIFT | records[-1].offset)
            traces = dict(self._reader.execute(_TRACES, places).fetchall())
        if not traces:
            return records
        return [replace(each, trace=traces.get(partition << SHIFT | each.offset, "")) for each in records]

    async def wait(self, partition: int, offset: int) -> None:
        if offset < self._durable[partition]:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(partition, []).append((offset, future))
        await future

    async def ping(self) -> None:
        """Return if the log can be read, and appended to. Raises Unavailable."""
        if self._closing is not None:
            raise Unavailable("the log is closing")
        if self._failure is not None:
            self._try_again(self._failure)
        self.read_stored(0, 0, 1)
        room = os.statvfs(self._path.parent)
        if room.f_frsize * (room.f_bfree if os.geteuid() == 0 else room.f_bavail) < LEAST_ROOM:
            raise Unavailable("the disk of the log is full")

    def _try_again(self, failure: Unavailable) -> None:
        """After a commit that failed, see whether one succeeds now: perhaps nobody sends until we say so.

        Raises Unavailable.
        """
        if self._committing:
            raise failure
        probe = "INSERT OR REPLACE INTO log_meta VALUES ('tried_ms', ?)"
        with translated(self._path, WAY_OUT):
            try:
                self._db.execute(probe, (str(unix_ms(self._now())),))
            except sqlite3.ProgrammingError:  # closed: it could not be opened again
                self._open(self.partitions)
                self._db.execute(probe, (str(unix_ms(self._now())),))
        self._failure = None

    async def close(self) -> None:
        """Commit what is queued and close. Later appends get Unavailable."""
        if self._closing is not None:
            return
        self._closing = asyncio.get_running_loop().create_future()
        if self._committing or self._timer is not None:
            await self._closing
        self._committer.close()
        self._checkpoints.close()
        self._reader.close()
        self._db.close()
