"""All generations of the views that one process folds, as the registry has them, and the one that its readers use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from commands.errors import Unavailable
from commands.ports import EventLog
from projections.ports import ChatViews, FoldStore, LogMismatch
from projections.served import ServedViews
from streams.batch import Discards
from streams.gate import Gate, Notes, Publisher
from streams.registry import POLL_S, Registered, Registry
from streams.runner import Runner

logger = logging.getLogger(__name__)

CLOSE = 500
"""So many records behind, and a generation is folded up to the served one while that waits."""
_MOMENT_S = 0.02


class Views(FoldStore, ChatViews, Protocol):
    """One generation, opened to be folded and read."""

    async def ping(self) -> None:
        """Return if the views answer. Raises Unavailable."""

    def close(self) -> None: ...


@dataclass(slots=True)
class _Followed:
    views: Views
    runner: Runner
    task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None


class Generations:
    """Made by `open`. `views` are what readers use.

    A switch hands over at one position of each partition: both folds rest, the one that is behind is brought to where
    the other is, and then readers and the word to the gateways change at once.
    """

    def __init__(
        self,
        log: EventLog,
        registry: Registry,
        make: Callable[[int], Views],
        fanout: Publisher,
        registered: Registered,
        reader: str,
        notes: Notes | None = None,
        discards: Discards | None = None,
    ) -> None:
        self._reader = reader
        self._discards = discards
        self._log = log
        self._registry = registry
        self._make = make
        self._gate = Gate(fanout, registered.served, notes)
        self._followed: dict[int, _Followed] = {}
        self._registered = registered
        self._broken: set[int] = set()
        served = self._open(registered.served)
        self.views = ServedViews(served.views)
        self.measures = served.runner.measures
        """What is folded into the served generation, whichever that is."""

    @staticmethod
    async def open(
        log: EventLog,
        registry: Registry,
        make: Callable[[int], Views],
        fanout: Publisher,
        reader: str,
        notes: Notes | None = None,
        discards: Discards | None = None,
    ) -> Generations:
        """`make` opens the views of a generation; `reader` names this process. Raises what `make` raises for the served
        one, and Unavailable.
        """
        return Generations(log, registry, make, fanout, await registry.read(), reader, notes, discards)

    @property
    def served(self) -> int:
        return self._gate.served

    @property
    def positions(self) -> dict[int, dict[int, int]]:
        """Generation → partition → next offset, of those that are folded here."""
        return {number: dict(each.runner.positions) for number, each in self._followed.items()}

    async def reached(self) -> Mapping[int, int]:
        """Partition → next offset that the served views want, as they say themselves. Raises Unavailable."""
        return await self._followed[self.served].views.positions()

    async def ping(self) -> None:
        """Return if the served views answer and nothing keeps the fold from writing them. Raises Unavailable."""
        await self.views.ping()
        if self.measures.waiting:
            raise Unavailable(f"{len(self.measures.waiting)} partitions wait to be folded: their store is away")

    async def run(self) -> None:
        """Follow log and registry until cancelled. Raises what ends the fold of the served generation."""
        try:
            self._arrange()
            while True:
                try:
                    await self._registry.tell(self._reader, self.served)
                    self._registered = await self._registry.read()
                    await self._follow_registry()
                except Unavailable as error:
                    logger.warning("the registry of generations waits: %s", error)
                await self._wait()
        finally:
            for each in self._followed.values():
                await each.stop()

    def close(self) -> None:
        for each in self._followed.values():
            each.views.close()
        self._followed.clear()

    async def _wait(self) -> None:
        """Until it is time to look again, or the served fold has failed."""
        task = self._followed[self.served].task
        if task is None:  # paused
            await asyncio.sleep(POLL_S)
            return
        await asyncio.wait([task], timeout=POLL_S)
        if task.done():
            task.result()

    async def _follow_registry(self) -> None:
        registered = self._registered
        wanted = {number for number, each in registered.generations.items() if each.state == "followed"}
        for number in self._followed.keys() - wanted - {self.served}:
            await self._forget(number)
        self._broken &= set(registered.generations)
        for number in wanted - self._followed.keys() - self._broken:
            self._try_open(number)
        self._arrange()
        for number, each in list(self._followed.items()):
            if number != self.served and each.task is not None and each.task.done():
                logger.error("generation %d is not folded any more", number, exc_info=each.task.exception())
                self._broken.add(number)
                await self._forget(number)
        if registered.served != self.served and registered.served in self._followed:
            await self._switch(registered.served)

    def _arrange(self) -> None:
        """Fold what is not paused."""
        for number, each in self._followed.items():
            generation = self._registered.generations.get(number)
            is_paused = generation is not None and generation.paused
            if is_paused and each.task is not None:
                each.task.cancel()
                each.task = None
            elif not is_paused and each.task is None:
                each.task = asyncio.create_task(each.runner.run(), name=f"generation {number}")

    def _try_open(self, number: int) -> None:
        try:
            self._open(number)
            logger.info("generation %d of the views is folded from now on", number)
        except (Unavailable, LogMismatch) as error:
            logger.error("generation %d of the views cannot be folded: %s", number, error)
            self._broken.add(number)

    def _open(self, number: int) -> _Followed:
        views = self._make(number)
        way = self._gate.of(number)
        followed = _Followed(views, Runner(self._log, views, way, way, discards=self._discards))
        self._followed[number] = followed
        return followed

    async def _forget(self, number: int) -> None:
        followed = self._followed.pop(number)
        await followed.stop()
        followed.views.close()
        logger.info("generation %d of the views is not folded any more", number)

    async def _switch(self, number: int) -> None:
        """Let readers use another generation. Raises Unavailable: then it is tried again."""
        old, new = self._followed[self.served], self._followed[number]
        for _ in range(int(POLL_S / _MOMENT_S)):
            if self._is_close(old.runner, new.runner):
                break
            if new.task is None or new.task.done():
                raise Unavailable(f"generation {number} is not folded, so readers stay where they are")
            await asyncio.sleep(_MOMENT_S)
        else:
            return  # until the next look at the registry, which may have gone back meanwhile
        async with AsyncExitStack() as stack:
            for runner in (old.runner, new.runner):
                for turn in runner.turns.values():
                    await stack.enter_async_context(turn)
            for partition in range(self._log.partitions):
                at = max(old.runner.positions[partition], new.runner.positions[partition])
                await old.runner.step_to(partition, at)
                await new.runner.step_to(partition, at)
            self._gate.served = number
            self.views.current = new.views
            old.runner.measures, new.runner.measures = new.runner.measures, old.runner.measures
        logger.info("generation %d of the views is served", number)

    def _is_close(self, old: Runner, new: Runner) -> bool:
        return all(
            partition in old.positions
            and partition in new.positions
            and old.positions[partition] - new.positions[partition] <= CLOSE
            for partition in range(self._log.partitions)
        )
