"""What operators have done: commands of the command line, in processes of their own beside the one that serves.

So a comparison or a rebuild holds nobody up, and does the very same as when typed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from api.operations import Action, Job, JobState
from commands.errors import Conflict, TidingsError
from infra.settings import Settings

MAX_RUNNING = 3
MAX_KEPT = 20
_DIFFERENT = 1
"""The exit status of a comparison that found differences."""

log = logging.getLogger(__name__)


def arguments(action: Action, target: str, *, accept_differences: bool = False) -> list[str]:
    """Of the command line."""
    match action:
        case "rebuild":
            return ["projections", "rebuild", "timeline", "--json"]
        case "verify":
            return ["projections", "verify", "--generation", target, "--json"]
        case "switch":
            accepting = ["--accept-differences"] if accept_differences else []
            return ["projections", "switch", "--generation", target, *accepting]
        case "rollback":
            return ["projections", "rollback"]
        case "drop" | "pause" | "resume":
            return ["projections", action, target]
        case "discard":
            return ["dead-letters", "discard", target]
        case "retry":
            raise ValueError("the server itself releases chats: its log has one writer")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended. `result`: what a command told as JSON."""

    well: bool
    message: str
    result: dict[str, Any] | None = None


Work = Callable[[], Awaitable[Ended]]


class Jobs:
    """Lives on one event loop."""

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self._environment = {**os.environ, "TIDINGS_DATA": str(settings.data.resolve())}
        self._now = now
        self._jobs: dict[int, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = 0

    @property
    def all(self) -> list[Job]:
        """The newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.job_id)

    def command(self, action: Action, target: str, *, by: str, accept_differences: bool = False) -> Job:
        """Have the command line do it. Raises Conflict where the same is under way, or too much."""
        command = arguments(action, target, accept_differences=accept_differences)
        return self.start(action, target, partial(self._run_command, action, command), by=by)

    def start(self, action: Action, target: str, work: Work, *, by: str) -> Job:
        """Raises Conflict where the same is under way, or too much."""
        running = [job for job in self._jobs.values() if job.state == "running"]
        if any((job.action, job.target) == (action, target) for job in running):
            raise Conflict("this is under way already")
        if len(running) >= MAX_RUNNING:
            raise Conflict("too much is under way: wait for its end")
        self._last += 1
        job = self._jobs[self._last] = Job(self._last, action, target, "running", self._now())
        for old in sorted(self._jobs)[:-MAX_KEPT]:
            if self._jobs[old].state != "running":
                del self._jobs[old]
        log.warning("an administrator has this done: %s %s", action, target, extra={"user_id": by})
        task = asyncio.get_running_loop().create_task(self._run(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def close(self) -> None:
        """Interrupt what is under way: a rebuild goes on with the next one."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, job: Job, work: Work) -> None:
        try:
            ended = await work()
        except TidingsError as error:
            ended = Ended(False, str(error))
        state: JobState = "done" if ended.well else "failed"
        self._jobs[job.job_id] = replace(
            job, state=state, ended_at=self._now(), message=ended.message, result=ended.result
        )
        if not ended.well:
            log.warning("%s %s failed: %s", job.action, job.target, ended.message)

    async def _run_command(self, action: Action, command: Sequence[str]) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.cli",
            *command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said, remarked = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        status = process.returncode
        result = _last_object(said)
        is_done = status == 0 or (action == "verify" and status == _DIFFERENT and result is not None)
        message = _last_line(said if is_done and result is None else remarked).removeprefix("tidings: ")
        return Ended(is_done, message, result)


def _last_object(said: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(_last_line(said))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
