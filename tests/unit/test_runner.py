"""The embedded runner: in which order a batch takes effect, and what a store that is away leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from commands.chat import Chat
from commands.errors import Unavailable
from commands.ports import Appended
from events.codec import Event
from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated, MessageSent
from projections.ports import Changes
from streams import runner
from streams.runner import Runner
from tests.contracts.adversary import Adversary
from tests.support.history import ANA, BEN, NOON, History


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_S", (0,))


class World(Adversary):
    """A log, a store, a notifier and a fan-out in one. Each call is noted, and the one named by `fails` fails once."""

    incarnation = "log"

    def __init__(self, records: Sequence[Record], partitions: int = 1, fails: str = "", away: int = -1) -> None:
        super().__init__()
        self.records, self.partitions, self.fails, self.away = records, partitions, fails, away
        self.calls: list[str] = []
        self.loaded: list[set[str]] = []
        self.reached = asyncio.Event()
        self.ended: set[int] = set()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fails:
            self.fails = ""
            raise Unavailable(f"{call} fails")

    def append(self, event: Event, done: Appended) -> None:
        raise NotImplementedError

    async def end(self) -> dict[int, int]:
        return dict.fromkeys(range(self.partitions), len(self.records))

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        self._note(f"read {offset}")
        if partition == self.away:
            raise Unavailable("this one is away")
        some = self.records[offset : offset + limit]
        return [Record(partition, r.offset, r.timestamp_ms, r.key, r.value) for r in some]

    async def wait(self, partition: int, offset: int) -> None:
        if offset >= len(self.records):
            await asyncio.Event().wait()

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        self.loaded.append(set(chat_ids))
        return await super().load(chat_ids)

    async def take_over(self, partition: int) -> None:
        self._note("take over")

    async def notify(self, changes: Changes) -> None:
        self._note(f"notify {changes.next_offset}")

    async def apply(self, changes: Changes) -> None:
        self._note(f"apply {changes.next_offset}")
        await super().apply(changes)

    async def publish(self, changes: Changes) -> None:
        self.calls.append(f"publish {changes.next_offset}")
        if changes.next_offset == len(self.records):
            self.ended.add(changes.partition)
        if len(self.ended) == self.partitions - (self.away >= 0):
            self.reached.set()


def history() -> list[Record]:
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    for _ in range(3):
        history.add(BEN, MessageSent(uuid7(NOON), "TEXT", b"x"))
    return history.records


async def followed(world: World) -> None:
    task = asyncio.create_task(Runner(world, world, world, world, max_batch=2).run())
    try:
        async with asyncio.timeout(5):
            await world.reached.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_notes_then_views_then_gateways_in_batches_of_the_bound() -> None:
    world = World(history())
    await followed(world)
    assert world.calls == [
        "take over", "publish 0",
        "read 0", "notify 2", "apply 2", "publish 2",
        "read 2", "notify 4", "apply 4", "publish 4",
    ]  # fmt: skip
    assert len(world.loaded) == 1, "what is hot is not read again"


@pytest.mark.parametrize("fails", ["take over", "read 2", "notify 4", "apply 4"])
async def test_after_a_failure_it_begins_again_from_the_position_and_remembers_nothing(fails: str) -> None:
    whole = World(history())
    await followed(whole)
    world = World(whole.records, fails=fails)
    await followed(world)
    later = world.calls[world.calls.index(fails) + 1 :]
    assert later[0] == "take over"
    assert later[-3:] == ["notify 4", "apply 4", "publish 4"]
    assert len(world.loaded) == (1 if fails == "take over" else 2), "the chat is read from the views again"
    assert list(world.rows()) == list(whole.rows())


async def test_a_partition_that_is_away_keeps_no_other_waiting() -> None:
    world = World(history(), partitions=3, away=1)
    await followed(world)
    assert await world.positions() == {0: 4, 2: 4}
