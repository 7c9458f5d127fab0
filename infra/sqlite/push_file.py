"""`push.db`: what waits to be pushed, and what became of it. None of it is kept for long."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.sqlite.committer import CHECKPOINT_BYTES, Checkpoints, Committer
from infra.sqlite.database import connect, connect_read_only, translated

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
    at_ms INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, reason TEXT NOT NULL, value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS outcomes (
    number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, user_id TEXT NOT NULL, device_id TEXT NOT NULL,
    platform TEXT NOT NULL, chat_id TEXT NOT NULL, seq INTEGER NOT NULL, result TEXT NOT NULL, detail TEXT NOT NULL
);
"""
WAY_OUT = (
    "stop the server and remove it, with its -wal and -shm files: what waits in it to be pushed is lost, and nothing "
    "else"
)
_LOOK_EVERY = 64
_BUSY_S = 0.2
"""Nobody else writes here for long; whoever has something to write tries again."""

Work = Callable[[sqlite3.Connection], object]


class PushFile:
    """Lives on one event loop. Writes are transactions, one after the other, whose fsync happens in a thread.

    After a write that failed the file is closed. What is asked next opens it, or fails too, for as long as that takes.
    """

    def __init__(self, path: Path, *, checkpoint_bytes: int = CHECKPOINT_BYTES) -> None:
        """Open or create. Raises Unavailable."""
        self._path = path
        self._is_open = False
        self._open()
        self._committer = Committer("push-commit")
        self._checkpoints = Checkpoints(path, checkpoint_bytes)
        self._turn = asyncio.Lock()
        self._writes = 0

    def _open(self) -> None:
        db = connect(self._path, "FULL", _BUSY_S, WAY_OUT)
        try:
            with translated(self._path, WAY_OUT):
                db.execute("PRAGMA secure_delete = ON")  # devices of erased users are to be nowhere
                db.executescript(_SCHEMA)
            self._reader = connect_read_only(self._path, _BUSY_S, WAY_OUT)
        except BaseException:
            db.close()
            raise
        self._db = db
        self._is_open = True

    def _close(self) -> None:
        self._is_open = False
        self._reader.close()
        self._db.close()

    async def write(self, work: Work) -> None:
        """Return when what `work` did is durable; else it is undone. Raises Unavailable."""
        async with self._turn:
            # A commit goes on in its thread whoever is cancelled meanwhile: the next one must wait for it.
            await asyncio.shield(asyncio.ensure_future(self._write(work)))

    async def _write(self, work: Work) -> None:
        if not self._is_open:
            self._open()
        try:
            with translated(self._path, WAY_OUT):
                self._db.execute("BEGIN IMMEDIATE")
                work(self._db)
                await self._committer.run(partial(self._db.execute, "COMMIT"))
        except Exception:
            # What became of a commit that failed is unknown: opened anew, the file tells.
            self._close()
            raise
        self._writes += 1
        if self._writes % _LOOK_EVERY == 0:
            self._checkpoints.look()
        if self._checkpoints.is_ready:
            at_rest = asyncio.Event()
            self._checkpoints.finish(self._db, at_rest.set)
            await at_rest.wait()

    async def empty_write_ahead_log(self) -> None:
        """Rid it of old pages, so that what was overwritten is nowhere; where somebody reads it, with the next call."""
        async with self._turn:
            if not self._is_open:
                return
            with translated(self._path, WAY_OUT):
                await self._committer.run(lambda: self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """What is committed. Raises Unavailable."""
        if not self._is_open:
            self._open()
        with translated(self._path, WAY_OUT):
            return self._reader.execute(query, values).fetchall()

    async def close(self) -> None:
        async with self._turn:
            self._committer.close()
            self._checkpoints.close()
            self._close()
