"""The measuring client: a process of its own, so that neither the progress bar nor the server disturbs it."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

import httpx
import uvloop
from rich.progress import Progress

from benchmarks.kit.output import notes
from benchmarks.kit.sockets import Trouble

T = TypeVar("T", covariant=True)


class Report:
    """Sends what is being done to the parent, which shows it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def begin(self, what: str, total: int) -> None:
        self._pipe.send(("begin", what, total))

    def advance(self) -> None:
        self._pipe.send(("advance",))

    def say(self, what: str) -> None:
        self._pipe.send(("say", what))


class Job(Protocol[T]):
    """Work for the client process; it travels there by pickle."""

    async def run(self, report: Report) -> T: ...


class ClientFailed(Exception):
    """The client process raised; the message is its error."""


def in_client(job: Job[T], cores: set[int] | None, bar: Progress) -> T:
    """Run a job in a fresh process on these cores, showing its progress. Raises ClientFailed."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_client, args=(theirs, job, cores), daemon=True)
    process.start()
    theirs.close()
    task = None
    try:
        while True:
            match mine.recv():
                case ("begin", what, total):
                    if task is not None:
                        bar.remove_task(task)
                    task = bar.add_task(what, total=total)
                case ("advance",) if task is not None:
                    bar.advance(task)
                case ("say", what):
                    notes.print(what)
                case ("failed", what):
                    raise ClientFailed(what)
                case ("done", result):
                    done: T = result
                    return done
    except EOFError:
        raise ClientFailed("the client process ended") from None
    finally:
        if task is not None:
            bar.remove_task(task)
        process.kill()
        process.join()


def _client(pipe: Connection, job: Job[Any], cores: set[int] | None) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        result = uvloop.run(job.run(Report(pipe)))
    except (Trouble, TimeoutError, OSError, httpx.HTTPError) as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
    else:
        pipe.send(("done", result))
