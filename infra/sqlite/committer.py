"""Waiting for the disk off the event loop: a thread for COMMIT, and checkpoints that hold nobody up."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

CHECKPOINT_BYTES = 64 * 1024 * 1024
"""So large that a page which many batches touch is copied once, not once per batch."""

logger = logging.getLogger(__name__)

Done = Callable[[BaseException | None], None]
_Job = tuple[Callable[[], object], Done]


class Committer:
    """One thread that runs one job after the other and reports on the event loop.

    An executor does the same through two futures and their locks, at twice the cost of a handover.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], object], done: Done) -> None:
        """Run `job` on the thread, then `done(error or None)` on the loop."""
        self._jobs.put((job, done))

    async def run(self, job: Callable[[], object]) -> None:
        """Run `job` on the thread and wait. Raises what it raises."""
        result: asyncio.Future[None] = self._loop.create_future()

        def done(error: BaseException | None) -> None:
            if result.done():
                return
            if error is None:
                result.set_result(None)
            else:
                result.set_exception(error)

        self.submit(job, done)
        await result

    def close(self) -> None:
        """Finish the jobs that are queued and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            run, done = job
            error: BaseException | None = None
            try:
                run()
            except BaseException as raised:
                error = raised
            self._loop.call_soon_threadsafe(done, error)


class Checkpoints:
    """Moves the write-ahead log into the database without holding up its writer.

    Most of it is copied by a connection of its own while the writer goes on. What was written meanwhile is little,
    and is copied at a moment when the writer is at rest, so that it can begin the write-ahead log anew.
    """

    def __init__(self, path: Path, above_bytes: int = CHECKPOINT_BYTES) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._above_bytes = above_bytes
        self._committer: Committer | None = None
        self._running = False
        self.is_ready = False
        """Whether the rest should be copied as soon as the writer is at rest."""

    def look(self) -> None:
        """Begin if the write-ahead log has grown enough. Cheap: call it after commits, now and then."""
        if self._running or self.is_ready or self._size() < self._above_bytes:
            return
        if self._committer is None:
            self._committer = Committer("checkpoint")
        self._running = True
        self._committer.submit(self._copy, self._copied)

    def _size(self) -> int:
        """Of the write-ahead log, in bytes; 0 where there is none, as when its database could not be opened again:
        whoever looks then has others to answer."""
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0

    def finish(self, db: sqlite3.Connection, done: Callable[[], None]) -> None:
        """Copy the rest through the writer's own connection, which must rest until `done` is called."""
        self.is_ready = False

        def finished(error: BaseException | None) -> None:
            self._warn(error)
            done()

        assert self._committer is not None, "only a checkpoint that began can be finished"
        self._committer.submit(partial(_checkpoint, db), finished)

    def close(self) -> None:
        if self._committer is not None:
            self._committer.close()

    def _copy(self) -> None:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        try:
            _checkpoint(db)
        finally:
            db.close()

    def _copied(self, error: BaseException | None) -> None:
        self._running = False
        self.is_ready = error is None
        self._warn(error)

    def _warn(self, error: BaseException | None) -> None:
        """A checkpoint that failed is no harm: the write-ahead log grows until the next one."""
        if error is not None:
            logger.warning("a checkpoint of %s failed: %s", self._path.name, error)


def _checkpoint(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
