"""Operations, over the installation as tools see it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from api.operations import (
    Action,
    DeadLetter,
    GenerationStanding,
    GenerationState,
    Job,
    Overview,
    PartitionStanding,
    Process,
    Roster,
)
from events.codec import Undecodable, decode
from events.log import Position, Record
from events.partitioner import partition_of
from infra.cli.generations import PartitionLag, lags
from infra.estate import Estate, NoViews
from infra.operations.backstage import Backstage
from infra.operations.jobs import Ended, Jobs

FRESH_S = 0.5
"""Several who look at once are told the same."""

Release = Callable[[str, str], Awaitable[bool]]
"""(chat, user): have the fold try what waits in the chat. Whether it has come to that."""

_Seen = tuple[list[PartitionLag], list[GenerationStanding], int | None, dict[str, int], int]


class LiveOperations:
    def __init__(
        self, backstage: Backstage, jobs: Jobs, roster: Roster, release: Release, clock: Callable[[], float]
    ) -> None:
        """`clock`: seconds that only go forward."""
        self._release = release
        self._backstage = backstage
        self._jobs = jobs
        self._roster = roster
        self._clock = clock
        self._seen: tuple[float, _Seen, list[Process]] | None = None

    async def overview(self) -> Overview:
        if self._seen is None or self._clock() - self._seen[0] > FRESH_S:
            self._seen = self._clock(), await self._backstage.ask(_look), await self._roster.all()
        _, (partitions, generations, previous, readers, served), processes = self._seen
        standings = [
            PartitionStanding(each.partition, each.position, each.end, each.lag_events, each.lag_seconds)
            for each in partitions
            if each.generation == served
        ]
        # A process that is alone is known to the registry by another name.
        readers = readers if len(processes) != 1 else dict.fromkeys([processes[0].name], served)
        return Overview(standings, generations, previous, readers, processes, self._jobs.all)

    async def dead_letters(self) -> Sequence[DeadLetter]:
        return await self._backstage.ask(_letters)

    def start(self, action: Action, target: str, *, by: str, accept_differences: bool = False) -> Job:
        if action == "retry":
            return self._jobs.start(action, target, partial(self._retry, target, by), by=by)
        return self._jobs.command(action, target, by=by, accept_differences=accept_differences)

    async def _retry(self, chat_id: str, by: str) -> Ended:
        if not await self._release(chat_id, by):
            return Ended(False, "the fold has not come to it yet")
        still = [letter for letter in await self.dead_letters() if letter.chat_id == chat_id]
        if still:
            return Ended(False, f"it stands still again, at {still[0].position}: {still[0].reason}")
        return Ended(True, "the chat goes on")


async def _look(estate: Estate) -> _Seen:
    registered = await estate.registry.read()
    partitions = await lags(estate, time.time())
    standings = []
    for number, generation in sorted(registered.generations.items()):
        own = [each for each in partitions if each.generation == number]
        state: GenerationState = "served" if number == registered.served else generation.state
        standings.append(
            GenerationStanding(
                number,
                state,
                generation.paused,
                generation.verdict,
                sum(each.position for each in own),
                sum(each.end for each in own),
                sum(each.lag_events for each in own),
                max((each.lag_seconds for each in own), default=0.0),
                await _parked(estate, number),
            )
        )
    return partitions, standings, registered.previous, await estate.registry.readers(), registered.served


async def _parked(estate: Estate, number: int) -> int:
    try:
        return len(await (await estate.views(number)).parked_chats())
    except NoViews:
        return 0


async def _letters(estate: Estate) -> list[DeadLetter]:
    served = (await estate.registry.read()).served
    parked = await (await estate.views(served)).parked_chats()
    found = []
    for chat_id, offset in sorted(parked.items(), key=lambda item: item[1]):
        partition = partition_of(chat_id, estate.log.partitions)
        record = next(iter(estate.log.records(partition, offset, 1)), None)
        found.append(_letter(chat_id, Position(partition, offset), record))
    return found


def _letter(chat_id: str, position: Position, record: Record | None) -> DeadLetter:
    if record is None:
        return DeadLetter(chat_id, str(position), "", None, "the log has no such record")
    at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    try:
        kind, reason = decode(record.value).event.type, "the fold failed on it"
    except Undecodable as error:
        kind, reason = "", str(error)
    return DeadLetter(chat_id, str(position), kind, at, reason)
