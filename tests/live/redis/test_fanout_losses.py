"""What fan-out over Redis does about lost messages, lost workers and a lost server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from infra.cluster.redis import Redis
from infra.redis.address import parse
from infra.redis.bus import Bus, Message
from infra.redis.connection import Connection
from projections.ports import Changes, Entry
from tests.support.hearing import Hearing
from tests.support.history import ANA, ROOM
from tests.support.redis import PATIENCE_S, Processes, processes


class Losing(Bus):
    """Says that it published, and did not."""

    def post(self, messages: Sequence[Message]) -> bool:
        return True


def batch(*seqs: int, partition: int = 0) -> Changes:
    """Entries of one chat; the offset is the seq."""
    entries = [Entry(ROOM, seq, seq, seq, seq, "message.sent", ANA, b"sealed") for seq in seqs]
    return Changes(partition, seqs[-1] + 1, entries)


async def resyncs(heard: Hearing, more: int = 1) -> None:
    """Return once `more` were asked for from now on."""
    before = len(heard.of("resync"))
    await heard.until(lambda: len(heard.of("resync")) >= before + more)


async def test_a_lost_last_message_shows_in_the_next_digest_with_the_progress(around: Processes) -> None:
    heard = Hearing()
    gateway = await around.fanout("gateway", heard)
    await gateway.subscribe(chats=[ROOM])
    worker = await around.fanout("worker", bus=Losing)
    await worker.publish(batch(1, 2))
    await heard.heard("digest", {ROOM: 2})
    await heard.heard("progress", 0, 3)
    assert heard.of("chat") == []


async def test_a_quiet_worker_is_heard_of_all_the_time_so_nothing_is_compared(around: Processes) -> None:
    heard = Hearing()
    await around.fanout("gateway", heard)
    worker = await around.fanout("worker")
    await worker.publish(Changes(0, 5))
    await resyncs(heard)  # it is new
    heard.forget()
    # Each digest tells the progress again.
    await heard.until(lambda: len(heard.of("progress")) > 12)
    assert heard.of("resync", "digest") == []


async def test_a_partition_in_new_hands_makes_gateways_compare(around: Processes) -> None:
    heard = Hearing()
    await around.fanout("gateway", heard, partitions=2)
    first, second = await around.fanout("first"), await around.fanout("second")
    await first.publish(Changes(0, 1))
    await second.publish(Changes(1, 1))
    await heard.until(lambda: len(heard.of("resync")) == 2)
    # The first one wrote more into the views and died before it spoke. The second goes on from there.
    first.release(0)
    await second.publish(Changes(0, 9))
    await heard.until(lambda: len(heard.of("resync")) == 3)
    await heard.heard("progress", 0, 9)


async def test_while_nobody_speaks_for_a_partition_gateways_compare_again_and_again(around: Processes) -> None:
    heard = Hearing()
    await around.fanout("gateway", heard, partitions=2)
    worker = await around.fanout("worker")
    await worker.publish(Changes(0, 1))
    await worker.publish(Changes(1, 1))
    await heard.until(lambda: {("progress", 0, 1), ("progress", 1, 1)} <= set(heard.calls))
    worker.release(1)
    await resyncs(heard, 2)


async def test_when_redis_ends_the_line_gateways_compare_and_hear_again(around: Processes) -> None:
    heard = Hearing()
    gateway, worker = await around.fanout("gateway", heard), await around.fanout("worker")
    await gateway.subscribe(chats=[ROOM])
    await worker.publish(batch(1))
    await heard.heard("progress", 0, 2)
    await resyncs(heard)
    heard.forget()
    by_hand = Connection(parse(around.url), name="by-hand")
    await by_hand.start()
    # As it does to a reader that is too slow.
    assert await by_hand.run("CLIENT", "KILL", "TYPE", "PUBSUB") == 1
    await by_hand.stop()
    await resyncs(heard)
    await worker.publish(batch(2))
    await heard.heard("chat", ROOM, batch(2).entries, [])


async def test_a_killed_server_is_found_again_with_all_subscriptions(own_redis: Redis, around: Processes) -> None:
    heard = Hearing()
    gateway, worker = await around.fanout("gateway", heard), await around.fanout("worker")
    await gateway.subscribe(chats=[ROOM], users=[ANA])
    await gateway.watch([ANA])
    await worker.publish(batch(1))
    await heard.heard("chat", ROOM, batch(1).entries, [])
    own_redis.kill()
    await worker.publish(batch(2))
    worker.publish_typing(ROOM, ANA)
    worker.publish_presence(ANA)
    await resyncs(heard, 2)
    other = "another-chat"
    await gateway.subscribe(chats=[other])  # returns, though nothing can be subscribed to
    own_redis.start()
    # What could not be told before is in the first digest.
    await heard.until(lambda: any(call[1].get(ROOM) == 2 for call in heard.of("digest")))  # type: ignore[attr-defined]
    heard.forget()
    worker.publish_typing(other, ANA)
    worker.publish_presence(ANA)
    await heard.until(lambda: {("typing", other, ANA), ("presence", ANA)} <= set(heard.calls))


async def test_a_server_that_does_not_answer_holds_up_nobody(own_redis: Redis, around: Processes) -> None:
    heard = Hearing()
    gateway, worker = await around.fanout("gateway", heard), await around.fanout("worker")
    await gateway.subscribe(chats=[ROOM])
    await worker.publish(batch(1))
    await heard.heard("progress", 0, 2)
    own_redis.pause()
    loop = asyncio.get_running_loop()
    started = loop.time()
    await worker.publish(batch(2))
    await gateway.subscribe(chats=["another"])
    assert loop.time() - started < 10 * PATIENCE_S
    await resyncs(heard)
    own_redis.resume()
    await worker.publish(batch(3))
    await heard.until(lambda: ("chat", ROOM, batch(3).entries, []) in heard.calls or _digested(heard, 3))


def _digested(heard: Hearing, seq: int) -> bool:
    return any(isinstance(call[1], dict) and call[1].get(ROOM) == seq for call in heard.of("digest"))


async def test_a_server_that_comes_late_is_found(own_redis: Redis) -> None:
    heard = Hearing()
    async with processes(own_redis.url, uuid4().hex) as each:
        gateway, worker = await each.fanout("gateway", heard), await each.fanout("worker")
        await gateway.subscribe(chats=[ROOM])
        await worker.publish(batch(1))
        own_redis.start()
        await heard.until(lambda: _digested(heard, 1))
        assert heard.of("resync")
