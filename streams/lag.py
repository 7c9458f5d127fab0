"""Whether positions move while there is something to do: what health means for whoever folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a partition stands."""

    next_offset: int
    end: int
    still_s: float
    """For how long it has been behind without moving; 0 where it moves or there is nothing to do."""

    @property
    def lag(self) -> int:
        return max(0, self.end - self.next_offset)


class LagWatch:
    """Remembers when each partition last moved."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds of a clock that only goes forward."""
        self._now = now
        self._moved: dict[int, tuple[int, float]] = {}
        """Partition → the offset it stood at, and since when it has been behind there."""
        self.standings: dict[int, Standing] = {}

    def look(self, positions: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, Standing]:
        """Partition → standing, for those in `positions`; others are forgotten."""
        now = self._now()
        moved = self._moved
        self._moved = {}
        self.standings = {}
        for partition, offset in positions.items():
            end = ends.get(partition, 0)
            before, since = moved.get(partition, (offset, now))
            if offset != before or offset >= end:
                since = now
            self._moved[partition] = (offset, since)
            self.standings[partition] = Standing(offset, end, now - since)
        return self.standings
