"""`tidings repair`: one chat of the served generation, folded anew from the log and written over what is there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from commands.errors import Unavailable
from events.codec import encode, make
from events.ids import uuid7
from events.partitioner import partition_of
from events.types import ChatHeld, ChatReleased, Data
from infra.cli.console import progress, remarks
from infra.cli.faults import Fault
from infra.cli.letters import OPERATOR
from infra.estate import Estate, ToolStore
from infra.sqlite.views import SqliteViews
from streams.audit import audit_chat
from streams.differences import Difference
from streams.repair import BeyondRepair, differences, fold_truth, mend

PATIENCE_S = 30.0
_POLL_S = 0.02


@dataclass(slots=True)
class Repaired:
    chat_id: str
    generation: int
    differences: list[Difference] = field(default_factory=list)
    """The first ones, as they were; `rebuilt` is what the log says."""
    held_s: float = 0.0
    """How long nothing of the chat was folded."""
    problems: list[str] = field(default_factory=list)
    """What the audit still finds."""


async def repair(estate: Estate, chat_id: str, as_json: bool) -> bool:
    """Mend a chat of the served generation; whether the audit has nothing to say of it any more."""
    async with estate.alone(), estate.at_rest() as rests:
        served = (await estate.registry.read()).served
        await estate.views(served)
        views = await estate.fold_into(served)
        done = Repaired(chat_id, served)
        with TemporaryDirectory(prefix="tidings-repair-") as folder:
            truth = SqliteViews(Path(folder) / "views.db", estate.log.incarnation, estate.log.ends())
            try:
                await _Repair(estate, views, truth, done).run(rests)
            except BeyondRepair as error:
                raise Fault(
                    str(error), "tidings projections rebuild makes a generation without it, to switch to"
                ) from error
            finally:
                truth.close()
        done.problems = await audit_chat(views, estate.log, chat_id)
    _tell(done, as_json)
    return not done.problems


class _Repair:
    def __init__(self, estate: Estate, views: ToolStore, truth: SqliteViews, done: Repaired) -> None:
        self._estate = estate
        self._views = views
        self._truth = truth
        self._done = done
        self._chat_id = done.chat_id
        self._partition = partition_of(done.chat_id, estate.log.partitions)

    async def run(self, rests: bool) -> None:
        await self._fold_truth(await self._views.positions() if rests else self._estate.log.ends())
        known = await self._truth.whole(self._chat_id) is not None
        if not known and not await self._truth.parked_of(self._chat_id):
            raise Fault(f"the log has no record of chat {self._chat_id}", "tidings events cat --type chat.created", 2)
        self._done.differences = await self._differences()
        if not self._done.differences:
            return
        if rests:
            await self._mend()
            return
        if known and not self._views.revives and await self._views.whole(self._chat_id) is None:
            raise Fault(f"chat {self._chat_id} has lost its head", "stop the server, and repair the chat then")
        async with self._held():
            self._done.differences = await self._differences() or self._done.differences
            await self._mend()
            if not await self._views.parked_of(self._chat_id):
                raise Fault(f"somebody released chat {self._chat_id} while it was mended", "repair it again")

    async def _differences(self) -> list[Difference]:
        return await differences(self._chat_id, self._views, self._truth, self._estate.log)

    async def _mend(self) -> None:
        await mend(self._chat_id, self._views, self._truth, self._estate.log)
        try:
            await self._estate.forget(self._chat_id)
        except Unavailable as error:
            remarks().print(f"caches may show the chat as it was for some minutes: {error}")

    async def _fold_truth(self, ends: Mapping[int, int]) -> None:
        end = ends.get(self._partition, 0)
        with progress() as bars:
            task = bars.add_task(f"Folding chat {self._chat_id}", total=end)
            await fold_truth(
                self._estate.log,
                await self._estate.discards(),
                self._truth,
                self._chat_id,
                end,
                lambda offset: bars.update(task, completed=offset),
            )
            bars.update(task, completed=end)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """The chat waits, and `truth` has all before that."""
        if not await self._estate.is_served():
            raise Fault("nobody folds right now", "start a gateway and a worker, and repair the chat then")
        remarks().print(
            f"chat {self._chat_id} waits; if this is killed, tidings dead-letters retry {self._chat_id} lets it go on"
        )
        began = time.monotonic()
        await self._append(ChatHeld("repair"))
        try:
            ends = await self._folded()
            await self._fold_truth(ends)
            yield
        finally:
            await self._append(ChatReleased([]))
            self._done.held_s = round(time.monotonic() - began, 3)
        await self._folded()
        if self._chat_id in await self._views.parked_chats():
            remarks().print(f"chat {self._chat_id} is parked by a record: tidings dead-letters show {self._chat_id}")

    async def _append(self, data: Data) -> None:
        now = datetime.now(UTC)
        await self._estate.append(self._chat_id, encode(make(uuid7(now), self._chat_id, OPERATOR, now, data)))

    async def _folded(self) -> dict[int, int]:
        """Wait until the views have the log's end as of now, and give it."""
        ends = self._estate.log.ends()
        until = time.monotonic() + PATIENCE_S
        while (await self._views.positions()).get(self._partition, 0) < ends[self._partition]:
            if time.monotonic() > until:
                raise Fault("nobody folds the chat's partition", "tidings projections lag shows where it stands")
            await asyncio.sleep(_POLL_S)
        return ends


def _tell(done: Repaired, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(done)))
        return
    for each in done.differences:
        at = "" if each.seq is None else f" seq {each.seq}"
        print(f"chat {each.chat_id}{at}: {each.what}\n  was:     {each.served}\n  the log: {each.rebuilt}")
    for problem in done.problems:
        print(f"chat {done.chat_id}: {problem}")
    said = "is mended" if done.differences else "is what the log says"
    held = f", and waited for {done.held_s:.1f} s" if done.held_s else ""
    print(f"chat {done.chat_id} of generation {done.generation} {said}{held}")
