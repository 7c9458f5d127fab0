"""One partition in a worker's hands: what is done with its records between take-over and hand-over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count
from time import perf_counter
from typing import TypeVar

from commands.errors import Unavailable
from events.log import Record
from projections.ports import Changes, FoldStore
from streams.batch import BatchFold, Discards
from streams.dead_letters import DeadLetters
from streams.gate import Notes, Publisher
from streams.measures import FoldMeasures

logger = logging.getLogger(__name__)

PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Before the second try, the third …; the last one for ever."""

T = TypeVar("T")


class Gap(Exception):
    """Records do not follow on what was folded: `next_offset` is wanted first."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(f"the record at {next_offset} is wanted first")
        self.next_offset = next_offset


class FellBack(Exception):
    """The views lack records that they had confirmed: take the partition over anew."""


class PartitionFold:
    """Made anew for every assignment, so that nothing is remembered from an earlier one.

    Whoever feeds it is not trusted: records that came before are dropped, and a gap is refused. While a store is
    away it waits, for as long as that takes.
    """

    def __init__(
        self,
        partition: int,
        store: FoldStore,
        dead_letters: DeadLetters,
        fanout: Publisher | None = None,
        measures: FoldMeasures | None = None,
        notifier: Notes | None = None,
        discards: Discards | None = None,
    ) -> None:
        self.partition = partition
        self.next_offset = -1
        """All records below it are in the views; -1 until `take_over` has returned."""
        self.waits_for: str | None = None
        """What a store that is away said last; None while all are there."""
        self._store = store
        self._dead_letters = dead_letters
        self._fanout = fanout
        self._measures = measures or FoldMeasures()
        self._notifier = notifier
        self._fold = BatchFold(store, discards=discards)

    async def take_over(self) -> int:
        """Learn where the views stand, tell gateways so that they compare, and give the offset to go on from.

        Raises LogMismatch if the views belong to another log or go beyond this one's end.
        """
        self._fold.forget()
        offset = await self._patiently(self._position)
        if self._notifier is not None:
            await self._patiently(partial(self._notifier.take_over, self.partition))
        # Whoever had the partition may have died between its last heads and its last word to the gateways.
        await self._publish(Changes(self.partition, offset))
        self.next_offset = offset
        return offset

    async def fold(self, records: Sequence[Record]) -> None:
        """Return when the views have all of these records. Raises Gap and FellBack."""
        rest = [record for record in records if record.offset >= self.next_offset]
        if rest and rest[0].offset > self.next_offset:
            raise Gap(self.next_offset)
        while rest:
            started = perf_counter()
            changes = await self._patiently(partial(self._folded, rest), check=self._check)
            await self._write(changes, rest, started)
            self.next_offset = changes.next_offset
            rest = [record for record in rest if record.offset >= self.next_offset]

    async def _folded(self, batch: Sequence[Record]) -> Changes:
        try:
            return await self._fold.fold(batch)
        except Unavailable:
            self._fold.forget()
            raise

    async def _write(self, changes: Changes, records: Sequence[Record], started: float) -> None:
        """Dead letters, notifications, rows, heads, position, and only then a word to the gateways.

        The very same changes are written until they are in: to fold anew would skip what a try that broke off has
        written already, and gateways would not hear of it.
        """
        folded = perf_counter()
        if changes.parked:
            await self._patiently(partial(self._dead_letters.put, changes.parked))
        if self._notifier is not None:
            await self._patiently(partial(self._notifier.notify, changes))
        await self._patiently(partial(self._store.apply, changes), check=self._check)
        self._measures.note(records, changes, started, folded, perf_counter())
        await self._publish(changes)

    async def _check(self) -> None:
        """A store that was away may have lost, with its node's power, what it had confirmed before."""
        position = await self._position()
        if position < self.next_offset:
            raise FellBack(f"the views stand at {self.partition}:{position} but had confirmed {self.next_offset}")

    async def _position(self) -> int:
        return (await self._store.positions()).get(self.partition, 0)

    async def _patiently(
        self, call: Callable[[], Awaitable[T]], check: Callable[[], Awaitable[None]] | None = None
    ) -> T:
        """What `call` gives, tried again, after `check`, for as long as either raises Unavailable."""
        try:
            return await call()
        except Unavailable as error:
            self.waits_for = str(error)
            logger.warning(
                "partition %d waits: %s",
                self.partition,
                error,
                extra={"partition": self.partition, "position": f"{self.partition}:{self.next_offset}"},
            )
        try:
            for failures in count():
                await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                try:
                    if check is not None:
                        await check()
                    result = await call()
                except Unavailable as error:
                    self.waits_for = str(error)
                else:
                    logger.warning(
                        "partition %d goes on after %d tries",
                        self.partition,
                        failures + 2,
                        extra={"partition": self.partition, "position": f"{self.partition}:{self.next_offset}"},
                    )
                    return result
        finally:
            self.waits_for = None
        raise AssertionError("count() ends")

    async def _publish(self, changes: Changes) -> None:
        if self._fanout is not None:
            await self._fanout.publish(changes)
