"""A gateway's hub and a worker with Redis between them: whatever becomes of Redis or of single messages, everybody
who is connected gets every event once and in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from api.ws.caretaker import Caretaker
from api.ws.catching import CatchingUp
from api.ws.hub import Hub
from api.ws.local import Link, User
from commands.sealing import Sealer
from events.ids import uuid7
from events.types import ChatCreated, MessageSent
from infra.cluster.redis import Redis
from infra.redis.bus import Bus, Message
from infra.redis.fanout import RedisFanout
from projections.fold import snapshot
from projections.ports import Changes
from streams.batch import BatchFold
from streams.progress import FoldProgress
from tests.contracts.adversary import Adversary
from tests.support.history import ANA, BEN, History
from tests.support.redis import Processes
from tests.support.world import FakeLink, Gate, MemoryKeys, MemoryViews

CHATS = 8
SOON_S = 20.0


class Sink(FakeLink):
    """Says when something was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = asyncio.Event()

    def send(self, frame: bytes) -> None:
        super().send(frame)
        self.sent.set()


class Ear:
    """A session that is live from the start."""

    session_id = "phone"
    catching: CatchingUp | None = None

    def __init__(self) -> None:
        self.sink = Sink()
        self.link: Link = self.sink

    def catch_up(self, chat_id: str, seq: int) -> None:
        raise AssertionError("nobody joins late here")

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed: {code} {reason}")


class Scene:
    """A worker that folds what is written into it, and a gateway with Ana connected."""

    def __init__(self, worker: RedisFanout, gateway: RedisFanout) -> None:
        self.worker, self.gateway = worker, gateway
        self.history, self.views = History(), MemoryViews()
        self._fold = BatchFold(Adversary())
        self._folded = 0
        loop = asyncio.get_running_loop()
        self.hub = Hub(self.views, gateway, Sealer(MemoryKeys(Gate())), FoldProgress(), loop, mutes=_no_mutes)
        self.ear = Ear()
        self.chats = [uuid7(self.history.clock()) for _ in range(CHATS)]
        self.sealer = Sealer(MemoryKeys(Gate()))
        self.sent = dict.fromkeys(self.chats, 1)

    async def settle_in(self) -> None:
        await self.sealer.warm([BEN])
        for chat_id in self.chats:
            self.history.add(BEN, ChatCreated("group", "Tea", False, "all", [ANA, BEN]), chat_id)
        await self.fold()
        user: User = self.hub.arrive(ANA)
        assert set(await self.hub.find_chats(user)) == set(self.chats)
        self.hub.settle_in(user, self.ear)

    async def send(self, *chat_ids: str) -> None:
        """A message of Ben's in each, in one batch."""
        for chat_id in chat_ids:
            self.history.clock.move(0.001)
            message_id = uuid7(self.history.clock())
            body = self.sealer.seal(chat_id, message_id, BEN, "hi")
            self.history.add(BEN, MessageSent(message_id, "TEXT", body), chat_id)
            self.sent[chat_id] += 1
        await self.fold()

    async def fold(self) -> None:
        changes = Changes(0, self._folded)
        if self.history.records[self._folded :]:
            changes = snapshot(await self._fold.fold(self.history.records[self._folded :]))
            self.views.apply(changes)
            self._folded = changes.next_offset
        await self.worker.publish(changes)

    def heard(self, chat_id: str) -> list[int]:
        return [frame["seq"] for frame in self.ear.sink.of("event") if frame["chat_id"] == chat_id]

    def has_all(self) -> bool:
        return all(len(self.heard(chat_id)) >= self.sent[chat_id] - 1 for chat_id in self.chats)

    async def until_all_heard(self) -> None:
        """Return once all is delivered; fails if something was told twice, or out of order, or not at all."""
        try:
            async with asyncio.timeout(SOON_S):
                while not self.has_all():
                    self.ear.sink.sent.clear()
                    await self.ear.sink.sent.wait()
        finally:
            told = {chat_id: self.heard(chat_id) for chat_id in self.chats}
            assert told == {chat_id: list(range(2, self.sent[chat_id] + 1)) for chat_id in self.chats}


async def _no_mutes(user_id: str, chat_ids: object) -> Mapping[str, datetime]:
    return {}


@asynccontextmanager
async def scene(around: Processes, bus: type[Bus] = Bus) -> AsyncIterator[Scene]:
    gateway = await around.unstarted_fanout("gateway")
    made = Scene(await around.fanout("worker", bus=bus), gateway)
    gateway.attach(made.hub)
    await gateway.start()
    caretaker = Caretaker(made.hub)
    caretaker.start()
    try:
        await made.settle_in()
        yield made
    finally:
        await caretaker.stop()
        made.hub.stop()


class Traffic:
    """Messages all the time, while the block lasts."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._send())

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        choose = random.Random(4)
        while True:
            await self._scene.send(*choose.sample(self._scene.chats, choose.randint(1, 4)))
            await asyncio.sleep(0.01)  # the rate of the traffic: some hundred messages a second


async def heard_more(scene: Scene, chat_id: str) -> None:
    """Return once something that is sent from now on was delivered."""
    before = scene.sent[chat_id]
    async with asyncio.timeout(SOON_S):
        while not (scene.heard(chat_id) or [0])[-1] > before:
            scene.ear.sink.sent.clear()
            await scene.ear.sink.sent.wait()


async def test_everything_is_delivered_while_redis_is_killed_and_comes_back_under_traffic(
    own_redis: Redis, around: Processes
) -> None:
    async with scene(around) as its:
        async with Traffic(its):
            for _ in range(3):
                await heard_more(its, its.chats[0])
                own_redis.kill()
                own_redis.start()
            await heard_more(its, its.chats[0])
        await its.until_all_heard()


async def test_deliveries_go_on_without_redis(own_redis: Redis, around: Processes) -> None:
    async with scene(around) as its:
        own_redis.kill()
        await its.send(*its.chats)
        await its.until_all_heard()
        await its.send(its.chats[0])
        await its.until_all_heard()


async def test_everything_is_delivered_while_redis_stands_still_under_traffic(
    own_redis: Redis, around: Processes
) -> None:
    async with scene(around) as its:
        async with Traffic(its):
            await heard_more(its, its.chats[0])
            own_redis.pause()
            await heard_more(its, its.chats[0])
            own_redis.resume()
            await heard_more(its, its.chats[0])
        await its.until_all_heard()


class Forgetful(Bus):
    """Loses half of what it publishes, digests excepted, and says nothing."""

    _dice = random.Random(5)

    def post(self, messages: Sequence[Message]) -> bool:
        return super().post([message for message in messages if self._dice.random() < 0.5])


async def test_lost_messages_are_caught_up_within_two_seconds(around: Processes) -> None:
    async with scene(around, Forgetful) as its:
        async with Traffic(its):
            await heard_more(its, its.chats[0])
        async with asyncio.timeout(2.0):
            await its.until_all_heard()


async def test_a_worker_that_dies_between_the_views_and_its_words_leaves_no_hole(around: Processes) -> None:
    class Mute(Bus):
        def post(self, messages: Sequence[Message]) -> bool:
            return True

        async def publish(self, messages: Sequence[Message]) -> None:
            """Dead by now."""

    async with scene(around, Mute) as its:
        await its.send(*its.chats)
        its.worker = await around.fanout("its successor")
        await its.fold()
        await its.until_all_heard()
