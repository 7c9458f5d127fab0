"""What every fan-out must do between a process that folds and one that has users connected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from events.ids import uuid7
from events.types import ChatCreated, ChatRetitled, Data, MemberAdded, MessageRead, MessageSent
from infra.cluster.redis import Redis
from infra.memory.fanout import MemoryFanout
from projections.fold import snapshot
from projections.ports import Changes
from streams.batch import BatchFold
from streams.ports import Fanout
from tests.contracts.adversary import Adversary
from tests.support.hearing import Hearing
from tests.support.history import ANA, BEN, CLEO, DAN, ROOM, History
from tests.support.redis import processes


@dataclass
class Setting:
    """The `worker` folds and speaks; the `gateway` is where `heard` is attached."""

    worker: Fanout
    gateway: Fanout
    heard: Hearing
    history: History
    fold: BatchFold

    async def batch(self, *events: tuple[str, Data], chat_id: str = ROOM) -> Changes:
        """Fold events of (actor, data) as one batch."""
        done = len(self.history.records)
        for actor_id, data in events:
            self.history.add(actor_id, data, chat_id)
        return snapshot(await self.fold.fold(self.history.records[done:]))

    async def tell(self, *events: tuple[str, Data], chat_id: str = ROOM) -> Changes:
        """`batch`, published and heard of."""
        changes = await self.batch(*events, chat_id=chat_id)
        await self.worker.publish(changes)
        await self.heard.heard("progress", changes.partition, changes.next_offset)
        return changes

    def message(self, body: bytes = b"sealed") -> MessageSent:
        self.history.clock.move(1)
        return MessageSent(uuid7(self.history.clock()), "TEXT", body)


@pytest.fixture(params=["memory", "redis", "redis before 7"])
async def between(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    heard, history, fold = Hearing(), History(), BatchFold(Adversary())
    if request.param == "memory":
        fanout = MemoryFanout()
        fanout.attach(heard)
        yield Setting(fanout, fanout, heard, history, fold)
        return
    if request.param == "redis before 7":
        monkeypatch.setattr("infra.redis.bus.SHARDED_SINCE", 99)
    server: Redis = request.getfixturevalue("redis")
    async with processes(server.url, uuid4().hex) as each:
        gateway = await each.fanout("gateway", heard)
        yield Setting(await each.fanout("worker"), gateway, heard, history, fold)


def group(*member_ids: str) -> ChatCreated:
    return ChatCreated("group", "Tea", False, "since_join", list(member_ids))


async def test_entries_of_a_subscribed_chat_come_together_oldest_first_and_whole(between: Setting) -> None:
    await between.gateway.subscribe(chats=[ROOM])
    big = between.message(bytes(100_000))
    changes = await between.tell((ANA, group(ANA, BEN)), (BEN, between.message(b"\0\xff")), (ANA, big))
    assert [entry.seq for entry in changes.entries] == [1, 2, 3]
    assert between.heard.of("chat") == [("chat", ROOM, changes.entries, [])]


async def test_chats_that_nobody_subscribed_to_are_not_heard(between: Setting) -> None:
    await between.gateway.subscribe(chats=[uuid7(between.history.clock())], users=[DAN])
    await between.tell((ANA, group(ANA, BEN)), (BEN, between.message()))
    assert between.heard.of("chat", "memberships", "refused") == []


async def test_after_unsubscribing_nothing_comes_and_after_subscribing_again_it_does(between: Setting) -> None:
    await between.gateway.subscribe(chats=[ROOM], users=[ANA])
    await between.gateway.unsubscribe(chats=[ROOM], users=[ANA])
    await between.tell((ANA, group(ANA, BEN)))
    assert between.heard.of("chat", "memberships") == []
    await between.gateway.subscribe(chats=[ROOM])
    await between.gateway.unsubscribe(chats=[ROOM])
    await between.gateway.subscribe(chats=[ROOM])
    changes = await between.tell((ANA, ChatRetitled("Coffee")))
    assert between.heard.of("chat") == [("chat", ROOM, changes.entries, [])]


async def test_many_subscriptions_at_once(between: Setting) -> None:
    chats = [uuid7(between.history.clock()) for _ in range(1_200)]
    await between.gateway.subscribe(chats=[*chats, ROOM])
    await between.tell((ANA, group(ANA)))
    await between.tell((ANA, group(ANA)), chat_id=chats[0])
    await between.tell((ANA, group(ANA)), chat_id=chats[-1])
    assert [call[1] for call in between.heard.of("chat")] == [ROOM, chats[0], chats[-1]]


async def test_a_subscription_holds_from_its_return_on(between: Setting) -> None:
    changes = await between.batch((ANA, group(ANA)))
    await between.gateway.subscribe(chats=[ROOM])
    await between.worker.publish(changes)
    await between.heard.heard("chat", ROOM, changes.entries, [])


async def test_a_new_member_hears_of_it_before_the_event_of_the_chat(between: Setting) -> None:
    await between.gateway.subscribe(chats=[ROOM], users=[CLEO])
    await between.tell((ANA, group(ANA, BEN)))
    between.heard.forget()
    changes = await between.tell((ANA, MemberAdded(CLEO)))
    (row,) = changes.memberships.values()
    assert between.heard.of("memberships", "chat") == [
        ("memberships", [row]),
        ("chat", ROOM, changes.entries, []),
    ]


async def test_a_refusal_is_told_to_whom_it_concerns(between: Setting) -> None:
    await between.gateway.subscribe(users=[ANA, DAN])
    changes = await between.tell((ANA, group(ANA, BEN)), (DAN, between.message()), (CLEO, between.message()))
    assert [row.actor_id for row in changes.refused] == [DAN, CLEO]
    assert between.heard.of("refused") == [("refused", [changes.refused[0]])]


async def test_watermarks_come_with_the_entries_of_their_chat_or_alone(between: Setting) -> None:
    await between.gateway.subscribe(chats=[ROOM])
    first = await between.tell((ANA, group(ANA, BEN)), (ANA, between.message()), (BEN, MessageRead(2)))
    assert between.heard.of("chat") == [("chat", ROOM, first.entries, list(first.moved.values()))]
    between.heard.forget()
    await between.tell((ANA, between.message()))
    between.heard.forget()
    then = await between.tell((BEN, MessageRead(3)))
    assert then.moved
    assert between.heard.of("chat") == [("chat", ROOM, [], list(then.moved.values()))]


async def test_progress_is_told_to_everybody_also_where_nothing_happened(between: Setting) -> None:
    await between.worker.publish(Changes(0, 17))
    await between.heard.heard("progress", 0, 17)


async def test_typing_is_heard_in_subscribed_chats(between: Setting) -> None:
    await between.gateway.subscribe(chats=[ROOM])
    between.worker.publish_typing(uuid7(between.history.clock()), ANA)
    between.worker.publish_typing(ROOM, BEN)
    await between.heard.heard("typing", ROOM, BEN)
    assert between.heard.of("typing") == [("typing", ROOM, BEN)]


async def test_presence_is_heard_of_those_watched_last(between: Setting) -> None:
    await between.gateway.watch([ANA, BEN])
    await between.gateway.watch([BEN, CLEO])
    for user_id in (ANA, DAN, BEN, CLEO):
        between.worker.publish_presence(user_id)
    await between.heard.heard("presence", CLEO)
    assert between.heard.of("presence") == [("presence", BEN), ("presence", CLEO)]
    await between.gateway.watch([])
    between.worker.publish_presence(CLEO)
    await between.tell((ANA, group(ANA)))
    assert len(between.heard.of("presence")) == 2


async def test_a_process_that_only_speaks_hears_nothing_and_needs_nothing(between: Setting) -> None:
    between.worker.publish_typing(ROOM, ANA)
    between.worker.release(0)
    between.worker.release(63)
    await between.tell((ANA, group(ANA)))


async def test_traces_come_before_the_entries_that_they_belong_to(between: Setting) -> None:
    await between.gateway.subscribe(chats=[ROOM])
    changes = await between.batch(
        (ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN])), (ANA, between.message())
    )
    changes.traces[changes.entries[1].offset] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await between.worker.publish(changes)
    await between.heard.heard("progress", changes.partition, changes.next_offset)
    traces, chat = between.heard.of("traces", "chat")
    assert traces == ("traces", ROOM, {2: changes.traces[1]})
    assert chat[:2] == ("chat", ROOM)
    await between.tell((ANA, between.message()))
    assert len(between.heard.of("traces")) == 1
