"""The generations that a worker folds: one with what Faust gives it, the others by themselves.

Its home is the served generation: that one speaks to gateways. Every other one that is to be followed has a plain
runner for the same partitions. After a switch the worker moves: it takes its partitions over again, now for the new
home, and the old one goes on by itself. Gateways move in their own time, so around a switch a batch is published only
when both generations have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from commands.errors import Unavailable
from commands.ports import EventLog
from projections.ports import Changes, FoldStore
from streams.batch import Discards
from streams.dead_letters import DeadLetters
from streams.faust_worker.worker import FaustWorker
from streams.gate import Notes
from streams.measures import FoldMeasures
from streams.partition import PartitionFold
from streams.ports import Fanout
from streams.registry import POLL_S, Registry
from streams.runner import Runner

logger = logging.getLogger(__name__)

CAUTION_S = 15.0
"""For so long after a switch was noticed, batches wait for both generations. By then all gateways have moved."""
PATIENCE_S = 2.0
"""No batch waits longer than this for the other generation."""
CLOSE = 500
"""A generation that is further behind than so many records does not become the home yet."""
_MOMENT_S = 0.005


@dataclass(slots=True)
class _Follower:
    runner: Runner
    partitions: frozenset[int]
    task: asyncio.Task[None]


class WorkerGenerations:
    """`make_store` gives a generation's views."""

    def __init__(
        self,
        home: int,
        log: EventLog,
        registry: Registry,
        make_store: Callable[[int], FoldStore],
        letters: DeadLetters,
        fanout: Fanout,
        measures: FoldMeasures | None = None,
        notifier: Notes | None = None,
        discards: Discards | None = None,
    ) -> None:
        self.home = home
        self._log = log
        self._registry = registry
        self._make_store = make_store
        self._letters = letters
        self._fanout = fanout
        self._measures = measures
        self._notifier = notifier
        self._discards = discards
        self._followers: dict[int, _Follower] = {}
        self._cautious_until = 0.0
        self._behind: dict[int, set[int]] = {}
        """Generation → partitions that its views are behind in."""

    def make_fold(self, partition: int) -> PartitionFold:
        """The fold of the home generation."""
        store = self._make_store(self.home)
        return PartitionFold(partition, store, self._letters, self, self._measures, self._notifier, self._discards)

    def begin_again(self, generation: int, partitions: Collection[int]) -> None:
        """Have these folded anew, soon, from where the generation's views say that they stand."""
        self._behind.setdefault(generation, set()).update(partitions)

    async def publish(self, changes: Changes) -> None:
        """Tell gateways, whichever of both generations they read."""
        if asyncio.get_running_loop().time() < self._cautious_until:
            for _ in range(int(PATIENCE_S / _MOMENT_S)):
                if not self._is_ahead(changes):
                    break
                await asyncio.sleep(_MOMENT_S)
        await self._fanout.publish(changes)

    def _is_ahead(self, changes: Changes) -> bool:
        """Whether another generation does not have these yet."""
        return any(
            each.runner.positions.get(changes.partition, 0) < changes.next_offset
            for each in self._followers.values()
            if changes.partition in each.partitions
        )

    async def run(self, worker: FaustWorker) -> None:
        """Follow the registry until cancelled."""
        noticed = self.home
        try:
            while True:
                await asyncio.sleep(POLL_S)
                await self._take_back(worker)
                try:
                    registered = await self._registry.read()
                except Unavailable as error:
                    logger.warning("the registry of generations waits: %s", error)
                    continue
                if registered.served != noticed:
                    noticed = registered.served
                    self._cautious_until = asyncio.get_running_loop().time() + CAUTION_S
                wanted = {
                    number
                    for number, each in registered.generations.items()
                    if each.state == "followed" and not each.paused and number != self.home
                }
                await self._follow(wanted, frozenset(worker.slots))
                if registered.served in self._followers and self._is_close(worker, registered.served):
                    await self._move(worker, registered.served)
        finally:
            for number in list(self._followers):
                await self._stop(number)

    async def _follow(self, wanted: set[int], partitions: frozenset[int]) -> None:
        for number, each in list(self._followers.items()):
            if each.task.done() and not each.task.cancelled():
                logger.error("generation %d is not folded here any more", number, exc_info=each.task.exception())
            if number not in wanted or each.partitions != partitions or each.task.done():
                await self._stop(number)
        for number in wanted - self._followers.keys():
            runner = Runner(self._log, self._make_store(number), partitions=partitions, discards=self._discards)
            task = asyncio.create_task(runner.run(), name=f"generation {number}")
            self._followers[number] = _Follower(runner, partitions, task)

    async def _take_back(self, worker: FaustWorker) -> None:
        behind, self._behind = self._behind, {}
        for number, partitions in behind.items():
            if number in self._followers:
                await self._stop(number)  # it is followed again with the next look
            elif number == self.home:
                for partition in partitions & worker.slots.keys():
                    worker.slots[partition].begin_again()

    async def _stop(self, number: int) -> None:
        follower = self._followers.pop(number)
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)

    def _is_close(self, worker: FaustWorker, number: int) -> bool:
        positions = self._followers[number].runner.positions
        return all(
            partition in positions and slot.fold.next_offset - positions[partition] <= CLOSE
            for partition, slot in worker.slots.items()
        )

    async def _move(self, worker: FaustWorker, number: int) -> None:
        old, runner = self.home, self._followers[number].runner
        await self._stop(number)
        if not await self._has_passed(worker, runner.positions):
            return  # it is followed again with the next look
        self.home = number
        await worker.take_over_again()
        await self._follow({old, *self._followers}, frozenset(worker.slots))
        logger.info("generation %d of the views is the one that gateways hear of", number)

    async def _has_passed(self, worker: FaustWorker, positions: Mapping[int, int]) -> bool:
        """Whether the home is as far. Nobody would notify of what only the other generation has folded."""
        for _ in range(int(PATIENCE_S / _MOMENT_S)):
            slots = worker.slots.items()
            if all(slot.fold.next_offset >= positions.get(partition, 0) for partition, slot in slots):
                return True
            await asyncio.sleep(_MOMENT_S)
        return False
