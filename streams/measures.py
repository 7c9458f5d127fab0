"""What is counted while records move: plain numbers, because some change with every batch; /metrics reads them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from events.log import Record
from projections.ports import Changes

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Histogram:
    """How often a value fell between two bounds. A quarter of a microsecond a value."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds`: upper ones, inclusive, ascending."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """For each bound, values up to it and above the one before; the last: values above all bounds."""
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


class FoldMeasures:
    """What one process has folded into one generation of the views."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._clock = clock
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
