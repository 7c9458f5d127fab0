"""Who is online, as their acquaintances are told: over sessions, goodbyes, crashes and stores that go away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import timedelta
from typing import Any

import pytest

from api.presence import Acquaintance, PresenceQueries, PresenceShape, PresenceTracker, SessionStatus
from commands.errors import Unavailable
from events.ids import direct_chat_id, uuid7
from events.types import ChatCreated, MemberRemoved
from infra.memory.fanout import MemoryFanout
from infra.memory.presence import MemoryPresence
from tests.support.history import ANA, BEN, CLEO, DAN, NOON, ROOM
from tests.support.world import Client, MovedTimers, World, settle, settled_after

OTHER = uuid7(NOON + timedelta(seconds=5))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Ana, Ben and Cleo share a chat; Dan knows nobody."""
    world = await World.begin()
    await world.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "all", [ANA, BEN, CLEO]))
    world.unpublished.clear()
    yield world
    await world.end()


async def watching(world: World, *user_ids: str, by: str = ANA) -> Client:
    """A client that watches, with the first answer taken."""
    client = await world.connect(by)
    client.say("presence.watch", id="w", user_ids=list(user_ids))
    await settle()
    client.link.take()
    return client


def told(client: Client) -> list[tuple[str, str]]:
    """(user, status) since the last time."""
    frames = [frame for frame in client.link.take() if frame["type"] == "presence"]
    return [(frame["user_id"], frame["status"]) for frame in frames]


# --- Watching -----


async def test_a_watch_is_acknowledged_then_tells_the_current_state(world: World) -> None:
    await world.connect(BEN)
    ana = await world.connect(ANA)
    ana.link.take()
    ana.say("presence.watch", id="w", user_ids=[BEN, CLEO])
    await settle()
    assert ana.link.take() == [
        {"type": "ack", "reply_to": "w"},
        {"type": "presence", "user_id": BEN, "status": "online", "last_seen": "2026-03-01T12:00:00.000Z"},
        {"type": "presence", "user_id": CLEO, "status": "offline", "last_seen": None},
    ]


async def test_changes_are_told_to_who_watches(world: World) -> None:
    ana = await watching(world, BEN)
    ben = await world.connect(BEN)
    await settle()
    assert told(ana) == [(BEN, "online")]
    ben.say("status", status="away")
    await settle()
    assert told(ana) == [(BEN, "away")]
    ben.say("status", status="online")
    await settle()
    assert told(ana) == [(BEN, "online")]


async def test_a_new_watch_replaces_the_last(world: World) -> None:
    ana = await watching(world, BEN)
    ana.say("presence.watch", id="w2", user_ids=[CLEO])
    await settle()
    ana.link.take()
    await world.connect(BEN)
    await world.connect(CLEO)
    await settle()
    assert told(ana) == [(CLEO, "online")]


async def test_strangers_read_as_offline_and_are_never_told_of(world: World) -> None:
    dan = await watching(world, ANA, by=DAN)
    ana = await world.connect(ANA)
    await settle()
    assert told(dan) == []
    dan.say("presence.watch", id="w", user_ids=[ANA])
    await settle()
    assert dan.link.take()[1] == {"type": "presence", "user_id": ANA, "status": "offline", "last_seen": None}
    ana.hang_up(1000)
    await settle()
    assert told(dan) == []


async def test_who_is_no_longer_in_any_common_chat_is_told_nothing_more(world: World) -> None:
    ben_watches = await watching(world, CLEO, by=BEN)
    await world.tell(ANA, ROOM, MemberRemoved(BEN))
    ben_watches.link.take()
    await world.connect(CLEO)
    await settle()
    assert told(ben_watches) == []


async def test_at_most_a_thousand_are_watched(world: World) -> None:
    client = await world.connect(ANA)
    client.link.take()
    client.say("presence.watch", id="w", user_ids=[str(number) for number in range(1_001)])
    await settle()
    assert [(f["type"], f["code"], f["reply_to"]) for f in client.link.frames] == [("error", "invalid", "w")]


async def test_a_watch_while_the_last_is_under_way_is_rate_limited(world: World) -> None:
    client = await world.connect(ANA)
    client.link.take()
    client.say("presence.watch", id="w1", user_ids=[BEN])
    client.say("presence.watch", id="w2", user_ids=[CLEO])
    assert [(f["code"], f["reply_to"]) for f in client.link.take()] == [("rate_limited", "w2")]
    await settle()
    client.say("presence.watch", id="w3", user_ids=[CLEO])
    await settle()
    assert [f["reply_to"] for f in client.link.of("ack")] == ["w1", "w3"]


async def test_nothing_is_kept_of_watchers_that_left(world: World) -> None:
    ana = await watching(world, BEN)
    ana.hang_up()
    await world.connect(BEN)
    await settle()
    assert told(ana) == []


# --- Coming and going -----


async def test_who_says_goodbye_is_offline_at_once(world: World) -> None:
    ana = await watching(world, BEN)
    for code in (1000, 1001):
        ben = await world.connect(BEN)
        await settle()
        ben.hang_up(code)
        await settle()
        assert told(ana) == [(BEN, "online"), (BEN, "offline")]


async def test_who_breaks_off_is_offline_after_five_seconds(world: World) -> None:
    ana = await watching(world, BEN)
    ben = await world.connect(BEN)
    ben.hang_up()
    await settled_after(world.timers, 4.5)
    assert told(ana) == [(BEN, "online")]
    await settled_after(world.timers, 1)
    assert told(ana) == [(BEN, "offline")]


async def test_who_is_back_within_five_seconds_was_never_away(world: World) -> None:
    ana = await watching(world, BEN)
    ben = await world.connect(BEN)
    ben.hang_up()
    await settled_after(world.timers, 4)
    await world.connect(BEN)
    await settled_after(world.timers, 10)
    assert told(ana) == [(BEN, "online")]


async def test_any_online_session_beats_away_ones(world: World) -> None:
    ana = await watching(world, BEN)
    phone, tablet = await world.connect(BEN), await world.connect(BEN)
    phone.say("status", status="away")
    await settle()
    assert told(ana) == [(BEN, "online")]
    tablet.hang_up(1000)
    await settle()
    assert told(ana) == [(BEN, "away")]
    phone.hang_up(1000)
    await settle()
    assert told(ana) == [(BEN, "offline")]


async def test_a_session_that_we_close_counts_as_broken_off(world: World) -> None:
    ana = await watching(world, BEN)
    await world.connect(BEN)
    world.gateway.session_ended("phone", BEN)
    await settled_after(world.timers, 4)
    assert told(ana) == [(BEN, "online")]
    await settled_after(world.timers, 2)
    assert told(ana) == [(BEN, "offline")]


async def test_the_users_of_a_gateway_that_crashed_are_offline_within_a_minute(world: World) -> None:
    await world.presence_store.beat("crashed")
    await world.presence_store.put("crashed", {BEN: "online"})
    ana = await watching(world, BEN)
    for _ in range(60):
        await settled_after(world.timers, 1, step_s=1)
        ana.session.heard()
    assert told(ana) == [(BEN, "offline")]


async def test_who_stays_for_hours_stays_online(world: World) -> None:
    ana = await watching(world, BEN)
    ben = await world.connect(BEN, until_s=100_000)
    await settle()
    ana.session.close(1001, "")
    for _ in range(1_000):
        await settled_after(world.timers, 8, step_s=8)
        ben.session.heard()
    assert (await world.presence_store.query([BEN]))[BEN].status == "online"


# --- Asking -----


async def test_a_query_answers_in_order_and_hides_strangers(world: World) -> None:
    await world.connect(BEN)
    await world.connect(DAN)
    await settle()
    queries = PresenceQueries(world.presence_store, Acquaintance(world.views))
    assert await queries.query(ANA, [DAN, BEN, ANA, "nobody", BEN]) == [
        PresenceShape(DAN, "offline", None),
        PresenceShape(BEN, "online", "2026-03-01T12:00:00.000Z"),
        PresenceShape(ANA, "offline", None),
        PresenceShape("nobody", "offline", None),
    ]


class CountedViews:
    """Memberships that count how often they are asked for."""

    def __init__(self, chats: Mapping[str, Collection[str]]) -> None:
        self._chats = chats
        self.asked: list[str] = []

    async def chats_of(self, user_id: str) -> list[str]:
        self.asked.append(user_id)
        return list(self._chats.get(user_id, ()))


async def test_a_direct_chat_and_local_users_need_no_look_up() -> None:
    views = CountedViews({ANA: [direct_chat_id(ANA, BEN), ROOM], DAN: [OTHER]})
    here = {CLEO: {ROOM}, "eve": {OTHER}}
    acquaintance = Acquaintance(views, here.get)
    assert await acquaintance.of(ANA, [ANA, BEN, CLEO, "eve", DAN]) == {ANA, BEN, CLEO}
    assert views.asked == [ANA, DAN]


async def test_somebody_in_no_chat_knows_only_oneself() -> None:
    views = CountedViews({ANA: [ROOM]})
    assert await Acquaintance(views).of(DAN, [ANA, DAN]) == {DAN}
    assert views.asked == [DAN]


# --- A store that goes away -----


class Unsteady(MemoryPresence):
    """A store that may be away, and may hold back its answers to `put`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.is_away = False
        self.puts = 0

    async def put(self, gateway_id: str, states: Mapping[str, SessionStatus]) -> None:
        await settle(2)
        if self.is_away:
            raise Unavailable("away")
        self.puts += 1
        await super().put(gateway_id, states)


async def test_what_the_store_could_not_take_is_said_again() -> None:
    timers = MovedTimers()
    store = Unsteady(timers.now)
    tracker = PresenceTracker(store, MemoryFanout(), timers, gateway_id="g")
    await tracker.start()
    store.is_away = True
    tracker.begin(ANA)
    await settled_after(timers, 3)
    assert (await store.query([ANA]))[ANA].status == "offline"
    store.is_away = False
    await settled_after(timers, 2)
    assert (await store.query([ANA]))[ANA].status == "online"
    await tracker.stop()


async def test_a_change_while_the_last_is_being_told_is_told_next() -> None:
    timers = MovedTimers()
    store = Unsteady(timers.now)
    tracker = PresenceTracker(store, MemoryFanout(), timers, gateway_id="g")
    await tracker.start()
    tracker.begin(ANA)
    await settle(1)
    tracker.end(ANA, "online", clean=True)
    await settle(1)
    tracker.begin(ANA)
    tracker.change(ANA, "online", "away")
    await settle()
    assert (await store.query([ANA]))[ANA].status == "away"
    tracker.end(ANA, "away", clean=True)
    await settle()
    assert (await store.query([ANA]))[ANA].status == "offline"
    await tracker.stop()


async def test_many_changes_of_one_moment_are_told_together() -> None:
    timers = MovedTimers()
    store = Unsteady(timers.now)
    tracker = PresenceTracker(store, MemoryFanout(), timers, gateway_id="g")
    await tracker.start()
    for number in range(100):
        tracker.begin(str(number))
    await settle()
    assert store.puts == 1
    await tracker.stop()


async def test_a_gateway_that_stops_leaves_its_users_five_seconds_to_come_back_elsewhere() -> None:
    timers = MovedTimers()
    store = MemoryPresence(timers.now)
    tracker = PresenceTracker(store, MemoryFanout(), timers, gateway_id="g")
    await tracker.start()
    tracker.begin(ANA)
    await settle()
    await tracker.stop()
    timers.move(4)
    assert (await store.query([ANA]))[ANA].status == "online"
    timers.move(2)
    assert (await store.query([ANA]))[ANA].status == "offline"
