"""What operators see of an installation, and what they may have done to it: the port of the Operations page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Action = Literal["rebuild", "verify", "switch", "rollback", "drop", "pause", "resume", "retry", "discard"]
ProcessKind = Literal["serve", "gateway", "worker"]
GenerationState = Literal["served", "followed", "building", "dropping"]
JobState = Literal["running", "done", "failed"]

ALIVE_S = 15.0
"""A process that has not told of itself for so long is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of the installation, as it told of itself."""

    name: str
    kind: ProcessKind
    version: str
    since: datetime
    sessions: int = 0
    users: int = 0
    partitions: tuple[int, ...] = ()
    """Those that it folds."""


class Roster(Protocol):
    """Who runs. All raise Unavailable."""

    async def tell(self, process: Process) -> None:
        """To be repeated every few seconds."""

    async def all(self) -> list[Process]:
        """Those that told of themselves within ALIVE_S, by name."""


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """How far the served generation is in a partition. `lag_seconds`: since when the oldest record waits."""

    partition: int
    position: int
    end: int
    lag_events: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class GenerationStanding:
    """Positions, ends and lags are those of all partitions together, `lag_seconds` that of the worst."""

    generation: int
    state: GenerationState
    paused: bool
    verdict: str
    """What the last comparison with the served one gave; empty before the first."""
    position: int
    end: int
    lag_events: int
    lag_seconds: float
    parked_chats: int


@dataclass(frozen=True, slots=True)
class Job:
    """Something that an operator had done. `result` is what the command told, `message` its last words."""

    job_id: int
    action: Action
    target: str
    """A generation, a chat, or a record's position; empty where the action needs none."""
    state: JobState
    started_at: datetime
    ended_at: datetime | None = None
    message: str = ""
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    partitions: Sequence[PartitionStanding]
    generations: Sequence[GenerationStanding]
    previous: int | None
    """The generation that a rollback goes to."""
    readers: Mapping[str, int]
    """Process → the generation that its readers use."""
    processes: Sequence[Process]
    jobs: Sequence[Job]
    """The newest first."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A chat that stands still, and the record at which it does."""

    chat_id: str
    position: str
    type: str
    """Of the event, as far as the record tells."""
    appended_at: datetime | None
    reason: str


class Operations(Protocol):
    async def overview(self) -> Overview:
        """Raises Unavailable."""

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Raises Unavailable."""

    def start(self, action: Action, target: str, *, by: str, accept_differences: bool = False) -> Job:
        """Have something done; how it goes is in the overview. `by`: the user who wants it. Raises TooBusy."""
