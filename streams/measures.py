"""What is counted while records move: plain numbers, because some change with every batch; /metrics reads them."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from events.log import Record
from projections.ports import Changes

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_AT_ONCE = 1_000
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Histogram:
    """How often a value fell between two bounds. Values are noted as they come and sorted in many at a time, which
    costs a tenth of sorting in each."""

    __slots__ = ("_counts", "_fresh", "_total", "bounds")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds`: upper ones, inclusive, ascending."""
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._fresh: list[float] = []

    def observe(self, value: float) -> None:
        fresh = self._fresh
        fresh.append(value)
        if len(fresh) == _AT_ONCE:
            self._sort_in()

    @property
    def cumulated(self) -> list[int]:
        """For each bound, how many values were up to it; the last: how many there were."""
        self._sort_in()
        return list(accumulate(self._counts))

    @property
    def total(self) -> float:
        """The sum of all values."""
        self._sort_in()
        return self._total

    @property
    def count(self) -> int:
        return self.cumulated[-1]

    def _sort_in(self) -> None:
        fresh = self._fresh
        self._total += sum(fresh)
        fresh.sort()
        below = 0
        for index, bound in enumerate(self.bounds):
            upto = bisect_right(fresh, bound)
            self._counts[index] += upto - below
            below = upto
        self._counts[-1] += len(fresh) - below
        fresh.clear()


FoldObserver = Callable[[Sequence[Record], Changes, float, float, float], None]
"""As `FoldMeasures.note`."""


class FoldMeasures:
    """What one process has folded into one generation of the views."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._clock = clock
        self.observers: list[FoldObserver] = []
        """Hear of each batch that the views have, before the gateways do. Must neither block nor raise."""
        self.records: Counter[int] = Counter()
        """Partition → records folded."""
        self.batch_records = Histogram(SIZES)
        self.fold_s = Histogram()
        """Decoding and deciding of a batch, with what is looked up in the views for it."""
        self.write_s = Histogram()
        """Until the views had a batch."""
        self.delay_s = Histogram()
        """From the log's append of a batch's oldest record until the views had it."""
        self.refused: Counter[str] = Counter()
        """Code → records that the fold did not let happen."""
        self.repeats = 0
        self.parked = 0
        """Records put aside, because they or an earlier one of their chat cannot be folded."""
        self.waiting: set[int] = set()
        """Partitions of which the store is away."""

    def note(self, records: Sequence[Record], changes: Changes, started: float, folded: float, written: float) -> None:
        """The views have a batch, or the first part of one. Times are those of `perf_counter`."""
        done = [record for record in records if record.offset < changes.next_offset]
        self.records[changes.partition] += len(done)
        self.batch_records.observe(len(done))
        self.fold_s.observe(folded - started)
        self.write_s.observe(written - folded)
        self.delay_s.observe(max(0.0, self._clock() - done[0].timestamp_ms / 1000))
        self.refused.update(row.code for row in changes.refused)
        self.repeats += changes.repeats
        self.parked += len(changes.parked)
        for observer in self.observers:
            observer(records, changes, started, folded, written)


@dataclass(slots=True)
class LogMeasures:
    """What the log of this process has taken."""

    commit_s: Histogram = field(default_factory=Histogram)
    """Until a commit was durable."""
    commit_records: Histogram = field(default_factory=lambda: Histogram(SIZES))
    failures: int = 0
    """Appends with an unknown outcome."""


@dataclass(slots=True)
class FanoutMeasures:
    published: int = 0
    """Messages handed to the bus: one for each chat of a batch, and one for each user concerned."""
    unsent: int = 0
    """Of these, those that the bus could not take."""
    received: int = 0
    """Messages that concerned somebody here."""
    resyncs: int = 0
    """Times that something may have been missed, so that everything here was compared with the views."""
