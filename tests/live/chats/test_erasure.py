"""What erasing oneself does to chats."""

from __future__ import annotations

from tests.support.caller import Newcomers, new_id, succeeded
from tests.support.http import check_problem


def test_who_erases_themselves_leaves_all_chats_and_takes_their_words_along(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    pair, room = ana.direct(ben), ana.group(ben, title="Room")
    hers = [ana.say(chat_id, "secret") for chat_id in (pair, room)]
    his = ben.say(room, "kept", reply_to_message=hers[1]["message_id"])
    ben.read(f"/chats/{room}/messages")  # so that her key is cached
    body = {"message_id": hers[1]["message_id"], "kind": "TEXT", "text": "secret"}

    ana.erase()

    for chat_id, message in zip((pair, room), hers, strict=True):
        shown = ben.read(f"/chats/{chat_id}/messages/{message['message_id']}")["message"]
        assert shown == {**message, "text": None, "erased": True, "status": None}
        assert ben.read(f"/chats/{chat_id}/messages")["items"][0] == shown
        events = ben.read(f"/chats/{chat_id}/events")["items"]
        data = next(each["event"]["data"] for each in events if each["event"]["type"] == "message.sent")
        assert (data["text"], data["erased"]) == (None, True)
        assert "secret" not in ben.get(f"/chats/{chat_id}/events").text
        chat = ben.chat(chat_id)
        assert [member["user_id"] for member in chat["members"]] == [ben.user_id]
        assert events[-1]["event"]["type"] == "member.left"
        assert events[-1]["event"]["data"] == {"user_id": ana.user_id}

    assert ben.roles(room) == {ben.user_id: "owner"}
    items = ben.read("/chats")["items"]
    assert [item["last_message"]["text"] for item in items if item["chat"]["chat_id"] == room] == ["kept"]
    assert [item["last_message"]["text"] for item in items if item["chat"]["chat_id"] == pair] == [None]
    assert ben.read(f"/chats/{room}/messages/{his['message_id']}")["message"]["text"] == "kept"

    check_problem(ana.post(f"/chats/{room}/messages", body), 401, "bad_token")
    check_problem(ben.put(f"/chats/direct/{ana.user_id}"), 404, "no_such_user")
    check_problem(ben.post("/chats", {"title": "Us", "member_ids": [ana.user_id]}), 404, "no_such_user")
    check_problem(ben.post(f"/chats/{room}/members", {"user_ids": [ana.user_id]}), 404, "no_such_user")
    check_problem(ben.post(f"/chats/{room}/messages", body), 409, "id_taken")
    # The direct chat goes on for the one who is left.
    assert ben.say(pair, "are you there?", message_id=new_id())["status"] == "SENT"


def test_the_owner_who_erases_themselves_hands_over(newcomers: Newcomers) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    room = ana.group(ben, cleo)
    succeeded(ana.put(f"/chats/{room}/members/{cleo.user_id}/role", {"role": "admin"}))
    ana.erase()
    assert ben.roles(room) == {ben.user_id: "member", cleo.user_id: "owner"}
    kinds = [each["event"]["type"] for each in ben.read(f"/chats/{room}/events", after_seq=2)["items"]]
    assert kinds == ["member.role_changed", "member.left"]


def test_many_chats_are_left_at_once(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    rooms = [ben.group(ana) for _ in range(20)]
    ana.erase()
    assert {ben.chat(room)["member_count"] for room in rooms} == {1}
