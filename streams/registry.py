"""Which generations of the chat views there are, who folds them, and which one readers use.

A generation belongs to the tool that builds it until it is caught up; from then on to whoever serves, who follows the
log with it until it is dropped. Operators' tools write the registry, one at a time; everybody else looks into it now
and then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

FIRST = 1
POLL_S = 1.0
"""How often those who serve look into the registry."""

State = Literal["building", "followed", "dropping"]
Verdict = Literal["", "same", "different", "renumbered"]


@dataclass(frozen=True, slots=True)
class Generation:
    number: int
    state: State
    paused: bool = False
    """Nobody folds it for now."""
    verdict: Verdict = ""
    """What the last comparison with the served one gave; empty before the first."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The registry at one moment."""

    served: int = FIRST
    previous: int | None = None
    """The one served before, to which a rollback goes."""
    generations: Mapping[int, Generation] = field(default_factory=lambda: {FIRST: Generation(FIRST, "followed")})

    last: int = FIRST
    """The greatest number ever given: none is used twice."""

    @property
    def building(self) -> Generation | None:
        """The one that is being rebuilt, or was when a rebuild was interrupted."""
        return next((each for each in self.generations.values() if each.state == "building"), None)


class Registry(Protocol):
    """All raise Unavailable where it cannot be reached."""

    async def read(self) -> Registered: ...

    async def put(self, generation: Generation) -> None:
        """Note a generation, new or changed."""

    async def serve(self, number: int) -> None:
        """Have readers use this one. Raises KeyError where there is none."""

    async def remove(self, number: int) -> None:
        """Forget a generation and remove its tables. Raises ServedGeneration. Repeating it changes nothing."""

    async def tell(self, reader: str, generation: int) -> None:
        """A process whose readers use this generation says so, when they begin to and now and then."""

    async def readers(self) -> dict[str, int]:
        """Process → the generation that its readers use, of those that run."""


class ServedGeneration(Exception):
    """The generation that readers use now cannot be dropped."""
