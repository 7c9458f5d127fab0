"""What members are told: each event once and in order, by whatever way it came, to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from api.ws import replay
from events.ids import direct_chat_id, uuid7
from events.types import (
    ChatCreated,
    ChatRetitled,
    MemberAdded,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
)
from projections.ports import Entry
from tests.support.history import ANA, BEN, CLEO, DAN, NOON, ROOM
from tests.support.world import World, settle, settled_after, types

OTHER = uuid7(NOON + timedelta(seconds=5))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.begin()
    await world.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    world.unpublished.clear()
    yield world
    await world.end()


async def say(world: World, actor_id: str, *texts: str, chat_id: str = ROOM) -> None:
    """Messages from elsewhere: in the views, but nobody here has been told."""
    for text in texts:
        await world.happen(actor_id, chat_id, await world.message(actor_id, chat_id, text))


# --- Live -----


async def test_every_session_of_every_member_is_told(world: World) -> None:
    clients = [await world.connect(ANA), await world.connect(BEN), await world.connect(BEN)]
    stranger = await world.connect(CLEO)
    await say(world, ANA, "one", "two")
    await world.publish()
    assert [client.texts(ROOM) for client in clients] == [["one", "two"]] * 3
    assert stranger.events(ROOM) == []


async def test_repeats_are_told_once(world: World) -> None:
    client = await world.connect(ANA)
    await say(world, BEN, "one", "two")
    world.unpublished += world.unpublished
    await world.publish()
    await world.tell(BEN, ROOM, ChatRetitled("never: a member may not"))
    assert client.events(ROOM) == [2, 3]


@pytest.mark.parametrize("author", [ANA, BEN], ids=["warm key", "cold key"])
async def test_what_fan_out_lost_is_filled_in_before_what_came_after(world: World, author: str) -> None:
    client = await world.connect(ANA)
    await say(world, author, "one", "two", "three")
    del world.unpublished[:2]
    await world.publish()
    assert client.texts(ROOM) == ["one", "two", "three"]


async def test_what_arrives_while_a_hole_is_filled_waits_its_turn(world: World) -> None:
    client = await world.connect(ANA)
    world.views.page = 1
    world.views.gate.is_open = False
    await say(world, BEN, "one", "two", "three")
    del world.unpublished[0]
    await world.publish()
    await say(world, BEN, "four")
    await world.publish()
    assert client.texts(ROOM) == []
    world.views.gate.open()
    await settle()
    assert client.texts(ROOM) == ["one", "two", "three", "four"]


async def test_views_that_are_away_only_delay(world: World) -> None:
    client = await world.connect(ANA)
    await say(world, BEN, "one", "two")
    del world.unpublished[0]
    world.views.gate.is_down = True
    await world.publish()
    await settled_after(world.timers, 5)
    assert client.texts(ROOM) == []
    world.views.gate.is_down = False
    await settled_after(world.timers, 1)
    assert client.texts(ROOM) == ["one", "two"]


async def test_a_chat_that_has_to_wait_for_a_key_holds_up_no_other(world: World) -> None:
    client = await world.connect(ANA)
    await world.tell(ANA, OTHER, ChatCreated("group", "Else", False, "all", [ANA, CLEO]))
    world.keys.gate.is_open = False
    await say(world, BEN, "cold key")
    await say(world, ANA, "warm key")
    await say(world, ANA, "elsewhere", chat_id=OTHER)
    await world.publish()
    assert client.texts(ROOM) == []
    assert client.texts(OTHER) == ["elsewhere"]
    world.keys.gate.open()
    await settle()
    assert client.texts(ROOM) == ["cold key", "warm key"]


async def test_an_erased_author_reads_as_erased(world: World) -> None:
    client = await world.connect(ANA)
    world.sealer.forget(BEN)
    await say(world, BEN, "gone")
    await world.publish()
    [event] = client.link.of("event")
    data = event["event"]["data"]
    assert (data["text"], data["erased"]) == (None, True)


async def test_a_body_that_nothing_opens_does_not_stop_the_chat(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = await world.connect(ANA)
    world.keys.unknown.add(BEN)
    await say(world, BEN, "whose key is this")
    await say(world, ANA, "mine")
    await world.publish()
    assert client.texts(ROOM) == [None, "mine"]
    assert world.gateway.counters.unreadable == 1
    assert "cannot be opened" in caplog.text


async def test_a_defect_ends_the_sessions_of_that_chat_instead_of_hiding_a_loss(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client, stranger = await world.connect(ANA), await world.connect(CLEO)
    broken = Entry(ROOM, 2, 1, 1, 0, "message.sent", BEN, b"no json")
    world.hub.on_chat(ROOM, [broken], [])
    assert client.link.code == 1011
    assert stranger.link.code is None
    back = await world.connect(ANA, {ROOM: 1})
    await say(world, BEN, "mended")
    await world.publish()
    assert back.texts(ROOM) == ["mended"]


# --- Membership -----


async def test_who_is_added_gets_the_chat_then_the_event_that_says_so(world: World) -> None:
    cleo = await world.connect(CLEO)
    until = world.timers.now() + timedelta(hours=1)
    world.mutes[CLEO, ROOM] = until
    cleo.link.take()
    await say(world, ANA, "before")
    await world.happen(ANA, ROOM, MemberAdded(CLEO))
    await say(world, ANA, "after")
    await world.publish()
    assert types(cleo.link.frames) == ["chat", "event", "event"]
    chat = cleo.link.frames[0]["chat"]
    assert chat["me"] == {"role": "member", "joined_seq": 3, "muted_until": "2026-03-01T13:00:00.000Z"}
    assert chat["member_count"] == 3
    assert {member["user_id"] for member in chat["members"]} == {ANA, BEN, CLEO}
    assert cleo.events(ROOM) == [3, 4]


async def test_who_is_added_is_told_though_others_follow_the_chat_here_already(world: World) -> None:
    ana, cleo = await world.connect(ANA), await world.connect(CLEO)
    ana.send(ROOM, uuid7(NOON), "warm the chat")
    await world.turn()
    await world.tell(ANA, ROOM, MemberAdded(CLEO))
    assert types(cleo.link.frames) == ["connected", "chat", "event"]
    assert ana.events(ROOM) == [2, 3]


async def test_a_new_chat_reaches_all_its_first_members(world: World) -> None:
    ana, cleo = await world.connect(ANA), await world.connect(CLEO)
    await world.tell(ANA, OTHER, ChatCreated("group", "New", True, "all", [ANA, CLEO, DAN]))
    for client in (ana, cleo):
        assert types(client.link.frames) == ["connected", "chat", "event"]
        assert client.link.frames[1]["chat"]["title"] == "New"
        assert client.link.frames[2]["event"]["data"] == {
            "kind": "group",
            "title": "New",
            "open": True,
            "member_ids": [ANA, CLEO, DAN],
        }


async def test_who_is_removed_is_told_that_and_nothing_after_it(world: World) -> None:
    ana, ben = await world.connect(ANA), await world.connect(BEN)
    await world.happen(ANA, ROOM, MemberRemoved(BEN))
    await say(world, ANA, "a secret")
    await world.publish()
    assert types(ben.link.frames) == ["connected", "event", "gone"]
    assert ben.events(ROOM) == [2]
    assert ana.events(ROOM) == [2, 3]


async def test_who_comes_back_is_told_only_what_follows(world: World) -> None:
    ben = await world.connect(BEN)
    await world.happen(ANA, ROOM, MemberRemoved(BEN))
    await say(world, ANA, "meanwhile")
    await world.happen(ANA, ROOM, MemberAdded(BEN))
    await world.publish()
    assert types(ben.link.frames) == ["connected", "event", "gone", "chat", "event"]
    assert ben.events(ROOM) == [2, 4]


async def test_somebody_added_and_removed_before_we_looked_hears_nothing(world: World) -> None:
    cleo = await world.connect(CLEO)
    await world.happen(ANA, ROOM, MemberAdded(CLEO), MemberRemoved(CLEO))
    await world.publish()
    assert types(cleo.link.frames) == ["connected"]


async def test_a_lost_membership_is_found_within_thirty_seconds(world: World) -> None:
    cleo, ben = await world.connect(CLEO), await world.connect(BEN)
    await world.happen(ANA, ROOM, MemberAdded(CLEO), MemberRemoved(BEN))
    world.unpublished.clear()
    for client in (cleo, ben):
        client.link.take()
    for _ in range(31):
        await settled_after(world.timers, 1)
        cleo.session.heard()
        ben.session.heard()
    assert types(cleo.link.frames) == ["chat", "event", "event"]
    assert cleo.events(ROOM) == [2, 3]
    assert types(ben.link.frames) == ["event", "event", "gone"]


async def test_a_resync_finds_what_left_no_hole(world: World) -> None:
    ana, ben = await world.connect(ANA), await world.connect(BEN)
    ana.send(ROOM, uuid7(NOON), "warm the chat")
    await world.turn()
    ben.link.take()
    await say(world, ANA, "lost")
    await world.happen(BEN, ROOM, MessageRead(2))
    world.unpublished.clear()
    world.hub.on_resync()
    await settled_after(world.timers, 1)
    assert ben.texts(ROOM) == ["lost"]
    assert [(f["user_id"], f["read_seq"]) for f in ana.link.of("receipt")] == [(BEN, 2)]


async def test_a_chat_nobody_here_is_in_any_more_is_forgotten_after_a_while(world: World) -> None:
    client = await world.connect(ANA)
    client.hang_up()
    assert ROOM in world.hub.chats
    await settled_after(world.timers, 45)
    assert world.hub.chats == {}
    await say(world, BEN, "nobody listens")
    await world.publish()
    back = await world.connect(ANA, {ROOM: 1})
    assert back.texts(ROOM) == ["nobody listens"]


async def test_a_quiet_chat_forgets_its_state_and_goes_on(world: World) -> None:
    client = await world.connect(ANA)
    client.send(ROOM, uuid7(NOON), "one")
    await world.turn()
    assert world.hub.cached(ROOM) is not None
    for _ in range(320):
        await settled_after(world.timers, 1, step_s=1)
        client.session.heard()
    assert world.hub.cached(ROOM) is None
    await say(world, BEN, "two")
    await world.publish()
    assert client.texts(ROOM) == ["one", "two"]


# --- Receipts -----


async def test_a_receipt_goes_to_all_members_and_ones_own_other_devices(world: World) -> None:
    ana, phone, tablet = await world.connect(ANA), await world.connect(BEN), await world.connect(BEN)
    await say(world, ANA, "one", "two")
    await world.happen(BEN, ROOM, MessageDelivered(3), MessageRead(2))
    await world.publish()
    receipt = {"type": "receipt", "chat_id": ROOM, "user_id": BEN, "delivered_seq": 3, "read_seq": 2}
    for client in (ana, phone, tablet):
        assert client.link.of("receipt")[-1] == receipt


async def test_a_receipt_below_what_a_member_may_see_is_not_told(world: World) -> None:
    await say(world, ANA, "one", "two")
    await world.happen(ANA, ROOM, MemberAdded(CLEO))
    world.unpublished.clear()
    ana, cleo = await world.connect(ANA), await world.connect(CLEO)
    await world.happen(BEN, ROOM, MessageDelivered(3))
    await world.publish()
    assert len(ana.link.of("receipt")) == 1
    assert cleo.link.of("receipt") == []
    await world.happen(BEN, ROOM, MessageRead(3), MessageDelivered(4))
    await world.publish()
    assert [(f["delivered_seq"], f["read_seq"]) for f in cleo.link.of("receipt")] == [(4, 0)]


async def test_large_chats_broadcast_no_receipts(world: World) -> None:
    many = [f"user-{number}" for number in range(100)]
    await world.happen(ANA, OTHER, ChatCreated("group", "Hall", False, "all", [ANA, *many]))
    world.unpublished.clear()
    ana = await world.connect(ANA)
    await say(world, ANA, "hello", chat_id=OTHER)
    await world.happen("user-1", OTHER, MessageRead(2))
    await world.publish()
    assert ana.link.of("receipt") == []
    assert ana.events(OTHER) == [2]


# --- Coming back -----


async def test_a_client_that_comes_back_is_told_what_it_missed_then_goes_live(world: World) -> None:
    await say(world, ANA, "one", "two", "three")
    client = await world.connect(BEN, {ROOM: 2})
    assert client.link.frames[0]["chats"][ROOM]["head_seq"] == 4
    await say(world, ANA, "four")
    await world.publish()
    assert client.texts(ROOM) == ["two", "three", "four"]


async def test_chats_that_are_not_resumed_go_live_after_their_head(world: World) -> None:
    await say(world, ANA, "one")
    client = await world.connect(BEN, {})
    await say(world, ANA, "two")
    await world.publish()
    assert client.texts(ROOM) == ["two"]


async def test_a_lost_chat_answers_gone_as_one_that_never_was(world: World) -> None:
    await world.happen(ANA, ROOM, MemberRemoved(BEN))
    client = await world.connect(BEN, {ROOM: 1, "nonsense": 7})
    assert client.link.frames[1:] == [{"type": "gone", "chat_id": ROOM}, {"type": "gone", "chat_id": "nonsense"}]


async def test_nothing_before_one_joined_is_replayed(world: World) -> None:
    await say(world, ANA, "a secret")
    await world.happen(ANA, ROOM, MemberAdded(CLEO))
    client = await world.connect(CLEO, {ROOM: 0})
    assert client.events(ROOM) == [3]


async def test_two_hundred_are_replayed_and_more_are_limited(world: World) -> None:
    await say(world, ANA, *map(str, range(201)))
    near, far = await world.connect(BEN, {ROOM: 2}), await world.connect(BEN, {ROOM: 1})
    assert near.events(ROOM) == list(range(3, 203))
    assert far.link.frames[1:] == [{"type": "limited", "chat_id": ROOM, "head_seq": 202}]
    await say(world, ANA, "live")
    await world.publish()
    assert near.events(ROOM)[-1:] == far.events(ROOM) == [203]


async def test_a_replay_of_over_two_thousand_is_limited_where_it_passes(world: World) -> None:
    rooms = [uuid7(NOON + timedelta(seconds=second)) for second in range(11)]
    for room in rooms:
        await world.happen(ANA, room, ChatCreated("group", "Room", False, "all", [ANA, BEN]))
        await world.happen(ANA, room, *[ChatRetitled(str(number)) for number in range(190)])
    client = await world.connect(BEN, dict.fromkeys(rooms, 1))
    await settle(400)
    assert len(client.link.of("event")) == 1900
    assert client.link.of("limited") == [{"type": "limited", "chat_id": rooms[-1], "head_seq": 191}]


async def test_a_replay_of_over_four_megabytes_is_limited_in_the_chat_where_it_passes(world: World) -> None:
    await world.happen(ANA, OTHER, ChatCreated("group", "Else", False, "all", [ANA, BEN]))
    await say(world, ANA, *["x" * 100_000] * 41)
    await say(world, ANA, *["x" * 100_000] * 2, chat_id=OTHER)
    client = await world.connect(BEN, {ROOM: 1, OTHER: 1})
    await settle(200)
    assert len(client.events(ROOM)) == 41
    assert client.events(OTHER) == []
    assert client.link.of("limited") == [{"type": "limited", "chat_id": OTHER, "head_seq": 3}]


async def test_a_replay_waits_for_the_socket_to_drain(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "DRAIN_EVERY", 2)
    await say(world, ANA, *map(str, range(7)))
    client = world.open()
    client.link.blocked = True
    client.say_connect(BEN, {ROOM: 1})
    await settle()
    assert client.texts(ROOM) == []
    client.link.unblock()
    await settle()
    assert client.texts(ROOM) == list(map(str, range(7)))


async def test_what_happens_during_a_replay_follows_it_once(world: World) -> None:
    await say(world, ANA, "one", "two")
    client = await world.connect(ANA)  # so that the gateway follows the chat
    world.views.gate.is_open = False
    back = world.open()
    back.say_connect(BEN, {ROOM: 1})
    await settle()
    while not back.link.of("connected"):
        world.views.gate.let_through()
        await settle()
    await say(world, ANA, "three")
    await world.publish()
    world.views.gate.open()
    await settle()
    await say(world, ANA, "four")
    await world.publish()
    assert back.texts(ROOM) == ["one", "two", "three", "four"]
    assert client.texts(ROOM) == ["three", "four"]


async def test_a_removal_and_return_during_a_replay_are_told_in_their_place(world: World) -> None:
    await say(world, ANA, "one")
    await world.connect(ANA)
    world.views.gate.is_open = False
    back = world.open()
    back.say_connect(BEN, {ROOM: 1})
    await settle()
    while not back.link.of("connected"):
        world.views.gate.let_through()
        await settle()
    await world.happen(ANA, ROOM, MemberRemoved(BEN))
    await say(world, ANA, "a secret")
    await world.happen(ANA, ROOM, MemberAdded(BEN))
    await say(world, ANA, "two")
    await world.publish()
    world.views.gate.open()
    await settle()
    assert types(back.link.frames) == ["connected", "event", "event", "gone", "chat", "event", "event"]
    assert back.events(ROOM) == [2, 3, 5, 6]


async def test_a_client_that_is_ahead_of_the_views_is_told_to_begin_anew(world: World) -> None:
    await say(world, ANA, "one", "two", "three")
    await world.publish()
    back = await world.connect(BEN, {ROOM: 9})
    assert back.link.frames[1:] == [{"type": "limited", "chat_id": ROOM, "head_seq": 4}]
    # What comes now is told, although the client knows something by its number.
    await say(world, ANA, "four")
    await world.publish()
    assert (back.events(ROOM), back.texts(ROOM)) == ([5], ["four"])


async def test_a_client_that_is_ahead_of_this_gateway_hears_nothing_twice(world: World) -> None:
    await world.connect(ANA)
    await say(world, ANA, "one", "two", "three")  # another gateway has told them already; this one has not heard
    back = await world.connect(BEN, {ROOM: 3})
    await world.publish()
    await say(world, ANA, "four")
    await world.publish()
    assert back.texts(ROOM) == ["three", "four"]


async def test_a_client_that_claims_the_future_is_not_muted_for_ever(world: World) -> None:
    back = await world.connect(BEN, {ROOM: 2**53 - 1})
    await say(world, ANA, "one")
    await world.publish()
    assert back.texts(ROOM) == ["one"]


async def test_marks_and_the_newest_thousand_chats_are_told_at_connect(world: World) -> None:
    for number in range(1_001):
        await world.happen(
            ANA, direct_chat_id(ANA, str(number)), ChatCreated("direct", None, False, "all", [ANA, str(number)])
        )
        world.timers.move(0.01)
    world.timers.move(10)
    client = await world.connect(ANA)
    [connected] = client.link.frames
    assert connected["more"] is True
    assert len(connected["chats"]) == 1_000
    assert ROOM not in connected["chats"]
    assert direct_chat_id(ANA, "0") not in connected["chats"]
    await say(world, BEN, "in a chat that was not shown")
    await world.publish()
    assert client.events(ROOM) == [2]


async def test_leaving_by_oneself_on_one_device_is_told_to_the_other(world: World) -> None:
    tablet = await world.connect(BEN)
    await world.tell(BEN, ROOM, MemberLeft(BEN))
    assert types(tablet.link.frames) == ["connected", "event", "gone"]
    assert tablet.link.frames[1]["event"]["data"] == {"user_id": BEN}


# --- Nothing leaks through an old answer -----


@pytest.mark.parametrize("warm", [False, True], ids=["cold chat", "warm chat"])
async def test_a_summary_older_than_ones_removal_lets_nobody_in(world: World, warm: bool) -> None:
    ana = await world.connect(ANA)
    if warm:
        ana.send(ROOM, uuid7(NOON), "warm the chat")
        await world.turn()
    world.views.gate.is_open = False
    world.views.stale = lambda: True  # answers are as old as their questions
    ben = world.open()
    ben.say_connect(BEN)
    await settle()
    world.views.gate.let_through()  # the list of chats; the summaries are asked for next, and show a member
    await settle()
    await world.tell(ANA, ROOM, MemberRemoved(BEN))
    world.views.gate.open()
    await settle()
    await say(world, ANA, "a secret")
    await world.publish()
    assert [frame["chats"] for frame in ben.link.frames] == [{}]


async def test_a_state_older_than_ones_removal_lets_nobody_in_late(world: World) -> None:
    phone = await world.connect(CLEO)
    await world.happen(ANA, ROOM, MemberAdded(CLEO))
    world.unpublished.clear()
    world.views.gate.is_open = False
    world.views.stale = lambda: True
    tablet = world.open()
    tablet.say_connect(CLEO)
    await settle()
    for _ in range(2):  # the list of chats, then the summaries; the state, to show the phone, is asked for next
        world.views.gate.let_through()
        await settle()
    assert len(world.views.gate.waiting) == 1
    await world.tell(ANA, ROOM, MemberRemoved(CLEO))
    world.views.gate.open()
    await settle()
    await say(world, ANA, "a secret")
    await world.publish()
    assert types(phone.link.frames) == types(tablet.link.frames) == ["connected"]


async def test_of_several_arrivals_before_we_looked_the_last_is_told(world: World) -> None:
    await world.connect(ANA)  # so that the gateway follows the chat through all of them
    cleo = await world.connect(CLEO)
    await world.happen(ANA, ROOM, MemberAdded(CLEO), MemberRemoved(CLEO), MemberAdded(CLEO))
    await world.publish()
    assert types(cleo.link.frames) == ["connected", "chat", "event"]
    assert cleo.link.frames[1]["chat"]["me"]["joined_seq"] == 4
    assert cleo.events(ROOM) == [4]


async def test_a_lost_removal_is_found_within_thirty_seconds(world: World) -> None:
    ben = await world.connect(BEN)
    await world.happen(ANA, ROOM, MemberRemoved(BEN))
    world.unpublished.clear()
    for _ in range(31):
        await settled_after(world.timers, 1)
        ben.session.heard()
    assert types(ben.link.frames) == ["connected", "event", "gone"]


async def test_a_second_device_shows_the_first_a_chat_that_it_missed(world: World) -> None:
    phone = await world.connect(CLEO)
    await world.happen(ANA, ROOM, MemberAdded(CLEO))
    await say(world, ANA, "welcome")
    world.unpublished.clear()
    tablet = await world.connect(CLEO)
    assert types(phone.link.frames) == ["connected", "chat", "event", "event"]
    assert phone.events(ROOM) == [2, 3]
    assert tablet.link.frames[0]["chats"][ROOM]["head_seq"] == 3


async def test_who_connects_while_a_chat_is_busy_is_not_told_that_they_are_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(world, ANA, "one")
    await world.publish()
    witness = await world.connect(ANA)
    # As where the chat has moved on by the time of every answer.
    monkeypatch.setattr(type(world.hub), "_seat", lambda hub, user, summary: False)
    ben = await world.connect(BEN, resume={ROOM: 1})
    await world.turn()
    assert ben.link.of("gone") == []
    assert ROOM in ben.link.of("connected")[0]["chats"]
    assert ben.texts(ROOM) == ["one"]
    await say(world, ANA, "two")
    await world.publish()
    assert ben.texts(ROOM)[-1] == "two"
    assert witness.link.of("gone") == []
