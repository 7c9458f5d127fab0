"""A line to Redis that is opened again whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from commands.errors import Unavailable
from infra.redis.address import Address
from infra.redis.line import Command, Line, Part, RedisFault, check, connect, pack_all

RETRY_S = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Pauses before the next attempts to connect; the last one for ever."""
PATIENCE_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Script:
    """Lua that Redis runs as one step."""

    body: str

    @property
    def sha(self) -> str:
        return sha1(self.body.encode()).hexdigest()

    def on(self, keys: Sequence[str], *arguments: Part) -> Command:
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


async def _nothing(line: Line, version: int) -> None:
    """A line that needs no preparation."""


def _ignored(message: list[Any]) -> None:
    """A push that nobody asked for."""


class Connection:
    """Connects in the background; while Redis is away everything fails at once.

    `prepare` is awaited with each new line before it counts; `pushed` hears of messages. `scripts` are those that
    will be run: they are loaded first.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        scripts: Sequence[Script] = (),
        prepare: Callable[[Line, int], Awaitable[None]] = _nothing,
        pushed: Callable[[list[Any]], None] = _ignored,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._address = address
        self._name = name
        self._scripts = scripts
        self._prepare = prepare
        self._pushed = pushed
        self._patience_s = patience_s
        self._line: Line | None = None
        self._broken = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return after the first attempt, whether it succeeded or not."""
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"redis {self._name}")
        await self._tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_up(self) -> bool:
        return self._line is not None and self._line.is_open

    @property
    def line(self) -> Line:
        """Raises Unavailable."""
        if self._line is None or not self._line.is_open:
            raise Unavailable("Redis is away")
        return self._line

    async def run(self, *command: Part) -> Any:
        """The answer to one command. Raises Unavailable, RedisFault."""
        (answer,) = await self.run_all([command])
        return answer

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several, sent together. Raises Unavailable, RedisFault."""
        line = self.line
        answers = await line.run(commands)
        try:
            return [check(answer) for answer in answers]
        except Unavailable:
            # Another server may do better, and this one may have lost its scripts: begin anew.
            line.abort()
            raise

    async def ping(self) -> None:
        """Return if Redis answers. Raises Unavailable."""
        await self.run("PING")

    def post(self, commands: Sequence[Command]) -> bool:
        """Send commands without waiting for what they do. False if Redis is away."""
        if not commands:
            return self.is_up
        try:
            self.line.post(pack_all(commands), len(commands))
        except Unavailable:
            return False
        return True

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                await self._follow()
                failures = 0
            except (Unavailable, RedisFault) as error:
                if failures == 0:
                    log.warning("Redis (%s): %s", self._name, error)
                failures += 1
            finally:
                self._tried.set()
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])

    async def _follow(self) -> None:
        """Open a line and return when it is over. Raises Unavailable, RedisFault where it could not be opened."""
        self._broken.clear()
        line, version = await connect(
            self._address, name=self._name, pushed=self._pushed, lost=self._broken.set, patience_s=self._patience_s
        )
        try:
            if self._scripts:
                for answer in await line.run([("SCRIPT", "LOAD", script.body) for script in self._scripts]):
                    check(answer)
            await self._prepare(line, version)
            self._line = line
            self._tried.set()
            log.info("Redis (%s): connected to %s", self._name, self._address.name)
            await self._broken.wait()
            log.warning("Redis (%s): the connection is over", self._name)
        finally:
            self._line = None
            line.abort()
