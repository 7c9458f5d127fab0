"""Every frame of the contract, over a real socket of a real server."""

from __future__ import annotations

from tests.live.sockets.conftest import OpenLine
from tests.support.caller import Json, Newcomers, new_id, succeeded
from tests.support.line import Line


async def test_two_people_talk_and_mark_what_they_read(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    one, other = await line(ana), await line(ben)
    message_id = new_id()
    ack = await one.ask("send", chat_id=chat, message_id=message_id, kind="TEXT", text="hello, wörld ☕")
    assert (ack["type"], ack["message_id"]) == ("ack", message_id)
    event = await other.hear("event")
    assert (event["chat_id"], event["seq"], event["n"]) == (chat, 2, 1)
    assert event["event"]["data"] == {"message_id": message_id, "kind": "TEXT", "text": "hello, wörld ☕"}
    other.say("delivered", chat_id=chat, up_to_seq=2)
    marked = await other.ask("read", chat_id=chat, up_to_seq=2)
    assert marked["type"] == "ack"
    receipt = await one.hear("receipt")
    assert receipt == {
        "type": "receipt",
        "chat_id": chat,
        "user_id": ben.user_id,
        "delivered_seq": 2,
        "read_seq": 2,
    }
    own = [frame for frame in one.heard if frame["type"] == "event"]
    assert [frame["seq"] for frame in own] == [2]


async def test_a_large_text_goes_through_whole(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    one, other = await line(ana), await line(ben)
    text = "x" * 102_400
    await one.ask("send", chat_id=chat, message_id=new_id(), kind="TEXT", text=text)
    assert (await other.hear("event"))["event"]["data"]["text"] == text


async def test_joining_being_removed_and_leaving(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    there, back = await line(ben), await line(cleo)
    chat = ana.group(ben, open=True)
    assert (await there.hear("chat"))["chat"]["me"]["joined_seq"] == 1
    assert (await there.hear("event"))["seq"] == 1
    assert (await back.ask("join", chat_id=chat))["type"] == "ack"
    shown = back.of("chat") or [await back.hear("chat")]
    assert shown[0]["chat"]["member_count"] == 3
    assert (await there.hear("event"))["event"]["type"] == "member.joined"
    succeeded(ana.call("DELETE", f"/chats/{chat}/members/{ben.user_id}"))
    gone = await there.hear("gone")
    assert gone["chat_id"] == chat
    assert there.heard[-2]["event"]["type"] == "member.removed"
    assert (await back.ask("leave", chat_id=chat))["type"] == "ack"
    if not back.of("gone"):
        await back.hear("gone")


async def test_typing_presence_status_ping_and_auth(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben, stranger = newcomers.some("ana", "ben", "stranger")
    chat = ana.direct(ben)
    one = await line(ana)
    watch = await one.ask("presence.watch", user_ids=[ben.user_id, stranger.user_id])
    assert watch["type"] == "ack"
    assert [(await one.hear("presence"))["status"] for _ in range(2)] == ["offline", "offline"]
    other = await line(ben)
    assert (await one.hear("presence"))["status"] == "online"
    other.say("status", status="away")
    assert (await one.hear("presence"))["status"] == "away"
    other.say("typing", chat_id=chat)
    assert await one.hear("typing") == {"type": "typing", "chat_id": chat, "user_id": ben.user_id}
    assert (await other.ask("ping"))["type"] == "pong"
    assert (await other.ask("auth", token=ben.token))["type"] == "ack"
    assert await other.close(1000) == 1000
    assert (await one.hear("presence"))["status"] == "offline"
    assert all(frame["user_id"] != stranger.user_id for frame in one.of("presence")[2:])


async def test_a_client_that_broke_off_resumes_without_a_gap_or_a_repeat(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    other = await line(ben)
    ana.say(chat, "one")
    assert (await other.hear("event"))["seq"] == 2
    other.hang_up()
    for text in ("two", "three"):
        ana.say(chat, text)
    back = await line(ben, resume={chat: 2, "lost": 1})
    assert (await back.hear("gone"))["chat_id"] == "lost"
    ana.say(chat, "four")
    assert [(await back.hear("event"))["seq"] for _ in range(3)] == [3, 4, 5]


async def test_more_than_two_hundred_missed_are_limited(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    one = await line(ana)
    for _ in range(201):
        one.say("send", id="s", chat_id=chat, message_id=new_id(), kind="TEXT", text="x")
    while len(one.of("event")) < 201:
        await one.hear("event")
    back = await line(ben, resume={chat: 1})
    assert await back.hear("limited") == {"type": "limited", "chat_id": chat, "head_seq": 202}
    assert len((await line(ben, resume={chat: 2})).of("limited")) == 0


async def test_another_users_message_id_is_rejected_by_the_fold(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    taken = ana.say(chat)["message_id"]
    other = await line(ben)
    ack = await other.ask("send", chat_id=chat, message_id=taken, kind="TEXT", text="mine")
    assert ack["type"] == "ack"
    rejected = other.of("rejected") or [await other.hear("rejected")]
    assert rejected == [
        {
            "type": "rejected",
            "chat_id": chat,
            "position": ack["position"],
            "message_id": taken,
            "code": "id_taken",
        }
    ]


async def test_fragments_make_one_frame_and_a_ping_between_them_is_answered(
    newcomers: Newcomers, line: OpenLine
) -> None:
    one = await line(newcomers("ana"))
    one.frame(b'{"type":"pi', fin=False)
    one.frame(b"are you there", 0x9)
    one.frame(b'ng","id', 0x0, fin=False)
    one.frame(b'":"f"}', 0x0)
    assert await one.pong() == b"are you there"
    assert await one.hear("pong") == {"type": "pong", "reply_to": "f"}


async def test_a_file_goes_over_the_socket_as_over_http(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    chat = ana.direct(ben)
    one, other = await line(ana), await line(ben)
    file = ana.upload(b"the plan", "plan.txt")
    send = {"chat_id": chat, "kind": "FILE", "file_id": file["file_id"]}
    message_id = new_id()
    ack = await one.ask("send", message_id=message_id, text="see", **send)
    assert (ack["type"], ack["message_id"]) == ("ack", message_id)
    data = (await other.hear("event"))["event"]["data"]
    assert data == {"message_id": message_id, "kind": "FILE", "text": "see", "file": file}
    assert ben.get(f"/files/{file['file_id']}").content == b"the plan"

    hers = cleo.upload(b"hers")
    for wrong, code in (
        ({"file_id": hers["file_id"]}, "no_such_file"),
        ({"kind": "IMAGE"}, "invalid"),
        ({"kind": "TEXT", "text": "x"}, "invalid"),
        ({"file_id": None}, "invalid"),
    ):
        refused = await one.ask("send", message_id=new_id(), **{**send, **wrong})
        assert (refused["type"], refused["code"]) == ("error", code)

    back = await line(ben, resume={chat: 1})
    replayed = (await back.hear("event"))["event"]["data"]
    assert replayed["file"] == file


async def test_answers_need_not_wait_for_what_they_answer(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    one, other = await line(ana), await line(ben)
    ids = [new_id() for _ in range(40)]
    for before, message_id in zip([None, *ids], ids, strict=False):
        reply = {} if before is None else {"reply_to_message": before}
        one.say("send", id=message_id, chat_id=chat, message_id=message_id, kind="TEXT", text="hello", **reply)
    answers = [await one.hear(reply_to=message_id) for message_id in ids]
    assert [answer["type"] for answer in answers] == ["ack"] * 40
    # From another socket, to what was acknowledged a moment ago; and to what came over HTTP.
    assert (await _answered(other, chat, ids[-1]))["type"] == "ack"
    assert (await _answered(one, chat, ben.say(chat)["message_id"]))["type"] == "ack"
    assert (await _answered(one, chat, new_id()))["code"] == "bad_reply"


async def _answered(line: Line, chat: str, message_id: str) -> Json:
    send = {"chat_id": chat, "message_id": new_id(), "kind": "TEXT", "text": "yes"}
    return await line.ask("send", **send, reply_to_message=message_id)
