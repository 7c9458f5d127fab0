"""The session's state machine: what each frame is answered, and what ends a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from api.ws.limits import Limits
from api.ws.local import TYPED_AT_ONCE, User
from events.ids import uuid7
from events.types import ChatCreated, MemberRemoved
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM
from tests.support.world import Client, World, settle, settled_after, token, types

M1, M2, M3 = (uuid7(NOON + timedelta(milliseconds=step)) for step in range(3))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World.begin()
    await world.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    world.unpublished.clear()
    yield world
    await world.end()


# --- Before connect -----


async def test_a_socket_that_says_nothing_is_closed_after_five_seconds(world: World) -> None:
    client = world.open()
    world.timers.move(4.9)
    assert client.link.code is None
    world.timers.move(1.1)
    assert client.link.code == 4408


async def test_connect_is_answered_by_where_every_chat_stands(world: World) -> None:
    client = await world.connect(BEN)
    assert client.link.frames == [
        {
            "type": "connected",
            "reply_to": "c",
            "user_id": BEN,
            "session_id": "phone",
            "heartbeat_s": 25,
            "server_time": "2026-03-01T12:00:00.000Z",
            "incarnation": world.gateway.incarnation,
            "more": False,
            "chats": {ROOM: {"head_seq": 1, "read_seq": 1, "others_delivered_seq": 1, "others_read_seq": 1}},
        }
    ]


@pytest.mark.parametrize(
    "frame",
    [b'{"type":"ping","id":"1"}', b'{"type":"nonsense"}', b'{"id":"1"}', b'{"type":7}'],
)
async def test_another_first_frame_is_malformed(world: World, frame: bytes) -> None:
    client = world.open()
    client.raw(frame)
    assert client.link.code == 4400


async def test_a_connect_with_a_mistake_is_an_error_and_may_be_mended(world: World) -> None:
    client = world.open()
    client.say("connect", id="c1", token=token(ANA), colour="red")
    assert client.link.take() == [
        {
            "type": "error",
            "code": "unknown_field",
            "message": "Object contains unknown field `colour`",
            "reply_to": "c1",
        }
    ]
    client.say_connect(ANA)
    await settle()
    assert types(client.link.frames) == ["connected"]


@pytest.mark.parametrize("bad", ["", "forged", token(ANA, until_s=-1)])
async def test_a_bad_token_closes_with_4401(world: World, bad: str) -> None:
    client = world.open()
    client.say("connect", id="c", token=bad)
    assert client.link.code == 4401


async def test_connect_may_carry_ext_and_client(world: World) -> None:
    client = world.open()
    client.say("connect", id="c", token=token(ANA), ext={"any": [1]}, client={"name": "x", "device_id": "d"})
    await settle()
    assert types(client.link.frames) == ["connected"]


async def test_what_comes_while_connecting_is_done_afterwards_in_order(world: World) -> None:
    world.views.gate.is_open = False
    client = await world.connect(ANA)
    client.say("ping", id="1")
    client.say("ping", id="2")
    assert client.link.frames == []
    world.views.gate.open()
    await settle()
    assert types(client.link.frames) == ["connected", "pong", "pong"]


async def test_views_that_are_away_end_a_connect_with_an_error_and_1011(world: World) -> None:
    world.views.gate.is_down = True
    client = await world.connect(ANA)
    assert [(f["type"], f["code"], f["reply_to"]) for f in client.link.frames] == [("error", "unavailable", "c")]
    assert client.link.code == 1011


async def test_a_sign_in_that_ends_while_connecting_does_not_open(world: World) -> None:
    world.views.gate.is_open = False
    client = await world.connect(ANA)
    world.tokens.ended.add("phone")
    world.views.gate.open()
    await settle()
    assert client.link.code == 4401
    assert client.link.frames == []
    assert world.hub.users == {}


async def test_a_socket_lost_while_connecting_leaves_nothing_behind(world: World) -> None:
    world.views.gate.is_open = False
    client = await world.connect(ANA)
    client.hang_up()
    world.views.gate.open()
    await settle()
    assert world.hub.users == {}
    assert world.gateway.counters.sessions == 0


# --- Frames that are wrong -----


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b'"text"', b"null", b'{"type":"ping","id":"1"}x', b'{"type":"ping","id":"\xff"}', b"[" * 50_000],
)
async def test_what_is_no_json_object_closes_with_4400(world: World, raw: bytes) -> None:
    client = await world.connect(ANA)
    client.raw(raw)
    assert client.link.code == 4400


async def test_a_binary_frame_closes_with_4400(world: World) -> None:
    client = await world.connect(ANA)
    client.session.received_binary()
    assert client.link.code == 4400


@pytest.mark.parametrize(
    ("raw", "code", "reply_to"),
    [
        (b'{"type":"nonsense","id":"7"}', "invalid", "7"),
        (b'{"type":"nonsense"}', "invalid", None),
        (b'{"id":"7"}', "invalid", "7"),
        (b'{"type":"ping","id":"7","more":1}', "unknown_field", "7"),
        (b'{"type":"ping","id":7}', "invalid", None),
        (b'{"type":"ping"}', "invalid", None),
        (b'{"type":"typing","id":"7","chat_id":"c"}', "unknown_field", "7"),
        (b'{"type":"read","id":"7","chat_id":"c","up_to_seq":-1}', "invalid", "7"),
        (b'{"type":"read","id":"7","chat_id":"c","up_to_seq":"1"}', "invalid", "7"),
        (b'{"type":"read","id":"7","chat_id":"c","up_to_seq":1e400}', "invalid", "7"),
        (b'{"type":"read","id":"7","chat_id":"c","up_to_seq":9007199254740993}', "invalid", "7"),
        (b'{"type":"status","status":"asleep"}', "invalid", None),
        (b'{"type":"send","id":"7","chat_id":"c","message_id":"m","kind":"VIDEO","text":"x"}', "invalid", "7"),
        (b'{"type":"ping","id":"\\ud800"}', "invalid", None),
        (b'{"type":"send","id":"7","chat_id":"c","message_id":"m","kind":"TEXT","text":"\\ud800"}', "invalid", "7"),
        (b'{"type":"connect","id":"7","token":"t"}', "invalid", "7"),
        (b'{"type":"ping","id":"' + b"7" * 201 + b'"}', "invalid", None),
    ],
)
async def test_a_frame_against_the_contract_is_an_error_and_the_connection_goes_on(
    world: World, raw: bytes, code: str, reply_to: str | None
) -> None:
    client = await world.connect(ANA)
    client.link.take()
    client.raw(raw)
    [error] = client.link.take()
    assert (error["type"], error["code"], error.get("reply_to")) == ("error", code, reply_to)
    assert error["message"]
    client.say("ping", id="8")
    assert client.link.frames == [{"type": "pong", "reply_to": "8"}]


# --- Sending -----


async def test_a_send_is_acknowledged_once_the_log_has_it_and_comes_back_as_an_event(world: World) -> None:
    client = await world.connect(ANA)
    client.link.take()
    frame_id = client.send(ROOM, M1, "hello")
    await settle()
    assert client.link.frames == []
    await world.fold()
    await settle()
    assert client.link.take() == [{"type": "ack", "reply_to": frame_id, "message_id": M1, "position": "0:1"}]
    await world.publish()
    assert client.link.take() == [
        {
            "type": "event",
            "chat_id": ROOM,
            "seq": 2,
            "n": 1,
            "event": {
                "type": "message.sent",
                "actor_id": ANA,
                "at": "2026-03-01T12:00:00.000Z",
                "data": {"message_id": M1, "kind": "TEXT", "text": "hello"},
            },
        }
    ]


async def test_sends_of_one_connection_keep_their_order_when_the_first_has_to_wait(world: World) -> None:
    world.keys.gate.is_down = True
    client = await world.connect(ANA)
    world.keys.gate.is_down, world.keys.gate.is_open = False, False  # the first send asks for the key
    client.send(ROOM, M1, "one")
    client.send(ROOM, M2, "two")
    await settle()
    assert not world.log.is_waiting
    world.keys.gate.open()
    client.send(ROOM, M3, "three")
    await world.turn()
    assert client.texts(ROOM) == ["one", "two", "three"]
    assert {ack["message_id"]: ack["position"] for ack in client.link.of("ack")} == {M1: "0:1", M2: "0:2", M3: "0:3"}


async def test_a_send_of_somebody_who_is_here_needs_the_log_alone(world: World) -> None:
    client = await world.connect(ANA)
    world.views.gate.is_down = True
    client.send(ROOM, M1)
    assert world.log.is_waiting
    await settle()
    world.views.gate.is_down = False
    await world.turn()
    assert [ack["message_id"] for ack in client.link.of("ack")] == [M1]


async def test_while_the_views_are_away_the_fold_alone_judges_a_send(world: World) -> None:
    client = await world.connect(CLEO)  # who is in no chat
    world.views.gate.is_down = True
    client.send(ROOM, M1)
    await settle()
    world.views.gate.is_down = False
    await world.turn()
    assert [ack["message_id"] for ack in client.link.of("ack")] == [M1]
    assert [(f["message_id"], f["code"]) for f in client.link.of("rejected")] == [(M1, "no_such_chat")]


async def test_a_join_keeps_its_place_among_sends(world: World) -> None:
    lobby = uuid7(NOON + timedelta(seconds=1))
    await world.tell(BEN, lobby, ChatCreated("group", "Lobby", True, "all", [BEN]))
    client = await world.connect(ANA)
    client.say("join", id="j", chat_id=lobby)
    client.send(lobby, M1, "here I am")
    for _ in range(4):
        await world.turn()
    assert [ack["reply_to"] for ack in client.link.of("ack")] == ["j", "s1"]
    assert client.events(lobby) == [2, 3]


async def test_leave_is_acknowledged_and_ends_in_gone(world: World) -> None:
    client = await world.connect(BEN)
    client.link.take()
    client.say("leave", id="l", chat_id=ROOM)
    await world.turn()
    assert client.link.of("ack") == [{"type": "ack", "reply_to": "l", "position": "0:1"}]
    assert types(frame for frame in client.link.frames if frame["type"] != "ack") == ["event", "gone"]


async def test_a_log_that_is_away_answers_unavailable(world: World) -> None:
    client = await world.connect(ANA)
    client.link.take()
    world.log.is_down = True
    client.send(ROOM, M1)
    await world.turn()
    assert [(f["type"], f["code"], f["reply_to"]) for f in client.link.frames] == [("error", "unavailable", "s1")]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"message_id": "not-a-uuid"}, "invalid"),
        ({"text": ""}, "invalid"),
        ({"text": "nul\0"}, "invalid"),
        ({"text": "x" * 102_401}, "too_large"),
        ({"text": "ä" * 51_201}, "too_large"),
        ({"message_id": uuid7(NOON + timedelta(seconds=121))}, "id_from_future"),
        ({"chat_id": "no chat at all"}, "no_such_chat"),
        ({"reply_to_message": M3}, "bad_reply"),
        ({"kind": "IMAGE"}, "invalid"),
        ({"kind": "FILE", "file_id": "f"}, "no_such_file"),
        ({"file_id": "f"}, "invalid"),
    ],
)
async def test_a_send_that_is_refused(world: World, fields: dict[str, Any], code: str) -> None:
    client = await world.connect(ANA)
    client.link.take()
    world.progress.advance(0, 1)
    client.say("send", **{"id": "s", "chat_id": ROOM, "message_id": M1, "kind": "TEXT", "text": "hi", **fields})
    await world.turn()
    [error] = client.link.frames
    assert (error["type"], error["code"], error["reply_to"]) == ("error", code, "s")
    assert ("server_time" in error) == (code == "id_from_future")


async def test_somebody_elses_chat_is_no_such_chat(world: World) -> None:
    client = await world.connect(CLEO)
    client.link.take()
    world.progress.advance(0, 1)
    client.send(ROOM, M1)
    await world.turn()
    assert [(f["type"], f["code"]) for f in client.link.frames] == [("error", "no_such_chat")]


@pytest.mark.parametrize(
    ("kind", "fields", "limit"),
    [
        ("join", {"chat_id": "x"}, 100),
        ("leave", {"chat_id": "x"}, 100),
        ("presence.watch", {"user_ids": []}, 100),
        ("read", {"chat_id": "x", "up_to_seq": 1}, 2_000),
        ("delivered", {"chat_id": "x", "up_to_seq": 1}, 2_000),
    ],
)
async def test_every_command_is_limited_by_user_over_all_sockets(
    world: World, kind: str, fields: dict[str, Any], limit: int
) -> None:
    clients = [await world.connect(ANA), await world.connect(ANA)]
    for number in range(limit):
        clients[number % 2].say(kind, id="c", **fields)
    await world.turn()
    for client in clients:
        client.link.take()
        client.say(kind, id="last", **fields)
        [error] = client.link.take()
        assert (error["code"], error["reply_to"], error["retry_after_ms"] > 0) == ("rate_limited", "last", True)
    other = await world.connect(BEN)
    other.link.take()
    other.say(kind, id="first", **fields)
    await world.turn()
    assert all(frame.get("code") != "rate_limited" for frame in other.link.frames)
    world.timers.move(1)
    clients[0].say(kind, id="again", **fields)
    await world.turn()
    assert all(frame.get("code") != "rate_limited" for frame in clients[0].link.take())


async def test_more_sends_than_a_user_may_are_rate_limited_and_the_rest_goes_on(world: World) -> None:
    client = await world.connect(ANA)
    client.link.take()
    for _ in range(1001):
        client.send(ROOM, "no uuid")  # counts, whatever becomes of it
    codes = [frame["code"] for frame in client.link.take()]
    assert codes == ["invalid"] * 1000 + ["rate_limited"]
    other = await world.connect(ANA)
    other.link.take()
    other.send(ROOM, M1)
    [error] = other.link.take()
    assert (error["code"], error["reply_to"]) == ("rate_limited", "s1")
    assert 0 < error["retry_after_ms"] <= 20
    world.timers.move(0.02)
    other.send(ROOM, M1)
    assert other.link.frames == []


async def test_too_many_commands_behind_one_that_waits_are_rate_limited() -> None:
    strict = await World.begin(limits=Limits(waiting_commands=50))
    await strict.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
    client = await strict.connect(ANA)
    client.link.take()
    strict.views.gate.is_open = False
    for number in range(52):
        client.say("leave", id=str(number), chat_id=ROOM)
        await settle(1)
    assert [(f["code"], f["reply_to"]) for f in client.link.frames] == [("rate_limited", "51")]
    await strict.end()


async def test_what_the_fold_refuses_is_told_to_all_sessions_of_its_sender(world: World) -> None:
    phone, tablet = await world.connect(BEN), await world.connect(BEN, session_id="tablet")
    phone.send(ROOM, M1)
    await world.turn()
    phone.link.take()
    tablet.link.take()
    await world.happen(ANA, ROOM, MemberRemoved(BEN))
    phone.send(ROOM, M2)  # accepted: the gateway has not heard of the removal
    await world.turn()
    rejected = {"type": "rejected", "chat_id": ROOM, "position": "0:3", "message_id": M2, "code": "no_such_chat"}
    assert phone.link.of("rejected") == [rejected]
    assert tablet.link.of("rejected") == [rejected]
    assert [ack["message_id"] for ack in phone.link.of("ack")] == [M2]


# --- Marks -----


async def test_marks_are_gathered_and_acknowledged_after_the_append(world: World) -> None:
    ana, ben = await world.connect(ANA), await world.connect(BEN)
    ana.send(ROOM, M1)
    await world.turn()
    ana.link.take()
    ben.link.take()
    ben.say("delivered", chat_id=ROOM, up_to_seq=2)
    ben.say("read", id="r", chat_id=ROOM, up_to_seq=2)
    await world.turn()
    assert ben.link.frames == []
    await settled_after(world.timers, 0.2)
    await world.turn()
    receipt = {"type": "receipt", "chat_id": ROOM, "user_id": BEN, "delivered_seq": 2, "read_seq": 2}
    assert ben.link.frames == [{"type": "ack", "reply_to": "r", "position": "0:2"}, receipt]
    assert ana.link.frames == [receipt]
    assert len(world.log.records) == 3  # one event: reading implies delivery


async def test_a_mark_beyond_the_head_is_an_error_and_spoils_no_other(world: World) -> None:
    client = await world.connect(BEN)
    client.link.take()
    world.progress.advance(0, 1)
    client.say("read", id="far", chat_id=ROOM, up_to_seq=9)
    client.say("read", id="near", chat_id=ROOM, up_to_seq=1)
    await settled_after(world.timers, 0.3)
    await world.turn()
    answers = {frame["reply_to"]: frame.get("code", frame["type"]) for frame in client.link.frames}
    assert answers == {"far": "beyond_head", "near": "ack"}


async def test_a_mark_in_no_chat_of_ones_own_is_an_error_even_without_an_id(world: World) -> None:
    client = await world.connect(CLEO)
    client.link.take()
    world.progress.advance(0, 1)
    client.say("delivered", chat_id=ROOM, up_to_seq=1)
    await settled_after(world.timers, 0.2)
    await world.turn()
    [error] = client.link.frames
    assert (error["code"], "reply_to" in error) == ("no_such_chat", False)


# --- Typing, ping, status -----


async def test_typing_is_told_to_the_others_and_not_more_than_once_a_second(world: World) -> None:
    ana, ben, tablet = await world.connect(ANA), await world.connect(BEN), await world.connect(BEN)
    for client in (ana, ben, tablet):
        client.link.take()
    ben.say("typing", chat_id=ROOM)
    ben.say("typing", chat_id=ROOM)
    assert ana.link.take() == [{"type": "typing", "chat_id": ROOM, "user_id": BEN}]
    world.timers.move(1.0)
    ben.say("typing", chat_id=ROOM)
    assert len(ana.link.take()) == 1
    assert ben.link.frames == tablet.link.frames == []


async def test_typing_in_two_chats_in_turns_from_two_sessions_is_told_once_a_second_each(world: World) -> None:
    other = uuid7(NOON + timedelta(seconds=5))
    await world.happen(ANA, other, ChatCreated("group", "Else", False, "all", [ANA, BEN]))
    ana, ben, tablet = await world.connect(ANA), await world.connect(BEN), await world.connect(BEN)
    ana.link.take()
    for _ in range(50):
        for client in (ben, tablet):
            client.say("typing", chat_id=ROOM)
            client.say("typing", chat_id=other)
    assert [told["chat_id"] for told in ana.link.take()] == [ROOM, other]
    world.timers.move(1.0)
    ben.say("typing", chat_id=other)
    assert [told["chat_id"] for told in ana.link.take()] == [other]


def test_of_where_somebody_typed_long_ago_nothing_is_kept() -> None:
    user = User(BEN)
    for number in range(1_000):
        assert user.may_type(f"chat {number}", float(number), 1.0)
    assert user.typed is not None
    assert len(user.typed) <= TYPED_AT_ONCE
    assert sum(user.may_type(f"another {number}", 1_000.0, 1.0) for number in range(1_000)) <= TYPED_AT_ONCE


async def test_typing_where_one_is_no_member_is_an_error(world: World) -> None:
    ana, cleo = await world.connect(ANA), await world.connect(CLEO)
    ana.link.take()
    cleo.link.take()
    cleo.say("typing", chat_id=ROOM)
    assert [frame["code"] for frame in cleo.link.frames] == ["no_such_chat"]
    assert ana.link.frames == []


# --- What ends a session -----


async def test_the_end_of_the_token_closes_with_4401(world: World) -> None:
    client = await world.connect(ANA, until_s=60)
    await heartbeats(world, client, 58)
    assert client.link.code is None
    await heartbeats(world, client, 4)
    assert client.link.code == 4401


async def test_a_newer_token_prolongs_the_session(world: World) -> None:
    client = await world.connect(ANA, until_s=60)
    client.link.take()
    client.say("auth", id="a", token=token(ANA, until_s=100))
    assert client.link.take() == [{"type": "ack", "reply_to": "a"}]
    await heartbeats(world, client, 98)
    assert client.link.code is None
    await heartbeats(world, client, 4)
    assert client.link.code == 4401


@pytest.mark.parametrize("bad", ["forged", token(BEN), token(ANA, until_s=-5)])
async def test_auth_with_a_bad_token_or_another_users_closes_with_4401(world: World, bad: str) -> None:
    client = await world.connect(ANA)
    client.say("auth", id="a", token=bad)
    assert client.link.code == 4401


async def test_the_end_of_a_sign_in_closes_its_sockets_alone(world: World) -> None:
    phone, tablet = await world.connect(ANA), await world.connect(ANA, session_id="tablet")
    world.gateway.session_ended("phone", ANA)
    assert (phone.link.code, tablet.link.code) == (4401, None)


async def test_the_oldest_of_twenty_one_sessions_goes(world: World) -> None:
    clients = [await world.connect(ANA) for _ in range(21)]
    assert [client.link.code for client in clients] == [4409] + [None] * 20


async def test_flooding_closes_with_4429(world: World) -> None:
    client = await world.connect(ANA)
    for _ in range(1_999):
        client.say("ping", id="p")
    assert client.link.code is None
    client.say("ping", id="p")
    assert client.link.code == 4429


async def test_two_hundred_frames_a_second_are_no_flood(world: World) -> None:
    client = await world.connect(ANA)
    for _ in range(60):
        world.timers.move(1.0)
        for _ in range(200):
            client.say("ping", id="p")
    assert client.link.code is None


async def test_who_does_not_answer_two_heartbeats_is_gone(world: World) -> None:
    client = await world.connect(ANA)
    await settled_after(world.timers, 27)
    assert client.link.pings == 1
    await settled_after(world.timers, 26)
    assert (client.link.pings, client.link.code) == (2, None)
    await settled_after(world.timers, 26)
    assert client.link.code == 1001


async def test_any_sign_of_life_answers_a_heartbeat(world: World) -> None:
    client = await world.connect(ANA)
    await heartbeats(world, client, 300)
    assert client.link.code is None
    assert client.link.pings == 11


async def test_too_much_waiting_closes_with_4410_and_drops_what_waits(world: World) -> None:
    client = await world.connect(ANA)
    client.session.overflowed()
    assert client.link.code == 4410
    assert client.link.dropped


async def test_draining_sends_everybody_elsewhere(world: World) -> None:
    client = await world.connect(ANA)
    client.link.take()
    world.gateway.drain()
    [frame] = client.link.frames
    assert frame["type"] == "reconnect"
    assert 0 <= frame["after_ms"] <= 10_000
    assert client.link.code == 1012


async def test_draining_first_answers_what_was_taken_and_takes_no_more(world: World) -> None:
    client = await world.connect(ANA)
    client.send(ROOM, M1)
    world.gateway.drain()
    client.send(ROOM, M2)
    assert client.link.code is None
    await world.turn()
    assert [ack["message_id"] for ack in client.link.of("ack")] == [M1]
    assert types(client.link.frames)[-1] == "reconnect"
    assert client.link.code == 1012


async def test_draining_does_not_wait_for_ever(world: World) -> None:
    client = await world.connect(ANA)
    client.send(ROOM, M1)
    world.gateway.drain()
    world.timers.move(world.gateway.limits.leave_s)
    assert client.link.code == 1012


async def test_a_defect_in_a_frame_closes_with_1011_and_says_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.connect(ANA)
    client.link.take()

    def broken(*arguments: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(world.receipts, "note", broken)
    client.say("read", chat_id=ROOM, up_to_seq=1)
    assert client.link.closed == (1011, "our error")
    assert client.link.frames == []
    assert "a secret" in caplog.text


async def test_nothing_is_heard_or_said_after_the_end(world: World) -> None:
    client = await world.connect(ANA)
    client.session.close(1001, "bye")
    client.link.take()
    client.say("ping", id="1")
    client.session.received_binary()
    client.session.due()
    client.hang_up()
    await world.tell(BEN, ROOM, await world.message(BEN, ROOM))
    assert client.link.frames == []
    assert world.gateway.counters.sessions == 0


async def test_closes_and_frames_are_counted(world: World) -> None:
    client = await world.connect(ANA)
    client.say("nonsense")
    client.raw(b"{")
    counters = world.gateway.counters
    assert (counters.connects, counters.sessions, counters.frames_in, counters.errors.total()) == (1, 0, 3, 1)
    assert counters.closes == {4400: 1}


async def test_limits_are_settings(world: World) -> None:
    strict = await World.begin(limits=Limits(connect_s=1.0, sessions_per_user=1))
    silent = strict.open()
    strict.timers.move(2.0)
    assert silent.link.code == 4408
    first, second = await strict.connect(ANA), await strict.connect(ANA)
    assert (first.link.code, second.link.code) == (4409, None)
    await strict.end()


async def heartbeats(world: World, client: Client, seconds: float) -> None:
    """Let time pass while the client answers every ping."""
    for _ in range(int(seconds)):
        await settled_after(world.timers, 1.0)
        client.session.heard()
