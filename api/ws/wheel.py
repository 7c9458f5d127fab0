"""Deadlines of very many things, to the second, at the cost of one timer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from commands.isolation import left_out
from commands.timers import Cancellable, Timers

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Each thing has at most one deadline. `due` is called up to a second late, never early; what it raises is logged
    and keeps no other thing from its deadline.

    A timer for each would take more memory than all else that an idle connection needs for its timing.
    """

    def __init__(self, timers: Timers, due: Callable[[T], None]) -> None:
        self._timers = timers
        self._due = due
        self._at: dict[T, int] = {}
        self._slots: dict[int, set[T]] = {}
        self._tick: Cancellable | None = None
        self._reached = 0

    def set(self, thing: T, delay_s: float) -> None:
        """Set or move the deadline of a thing."""
        self.discard(thing)
        slot = int(self._timers.time() + max(delay_s, 0.0)) + 1
        self._at[thing] = slot
        self._slots.setdefault(slot, set()).add(thing)
        if self._tick is None:
            self._reached = int(self._timers.time())
            self._wait()

    def discard(self, thing: T) -> None:
        """Forget a thing, which need not be there."""
        slot = self._at.pop(thing, None)
        if slot in self._slots:
            self._slots[slot].discard(thing)

    def _wait(self) -> None:
        self._tick = self._timers.call_later(self._reached + 1 - self._timers.time(), self._turn)

    def _turn(self) -> None:
        try:
            while self._reached < int(self._timers.time()):
                self._reached += 1
                for thing in self._slots.pop(self._reached, ()):
                    if self._at.get(thing) == self._reached:  # an earlier one may have moved or ended this one
                        del self._at[thing]
                        try:
                            self._due(thing)
                        except Exception:
                            left_out("keeping a deadline")
        finally:
            if self._at:
                self._wait()
            else:
                self._tick = None
                self._slots.clear()
