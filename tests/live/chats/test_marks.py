"""Delivered and read marks, and what becomes of them: receipts, unread, status. The list of chats."""

from __future__ import annotations

from tests.support.caller import Caller, Json, Newcomers, succeeded


def mark(caller: Caller, chat_id: str, kind: str, up_to_seq: int) -> str:
    position: str = succeeded(caller.post(f"/chats/{chat_id}/{kind}", {"up_to_seq": up_to_seq}))["position"]
    return position


def receipts(caller: Caller, chat_id: str) -> dict[str, tuple[int, int]]:
    items = caller.read(f"/chats/{chat_id}/receipts")["items"]
    assert [each["user_id"] for each in items] == sorted(each["user_id"] for each in items)
    return {each["user_id"]: (each["delivered_seq"], each["read_seq"]) for each in items}


def listed(caller: Caller) -> Json:
    """The only chat of a caller, as the list has it."""
    (item,) = caller.read("/chats")["items"]
    found: Json = item
    return found


def statuses(caller: Caller, chat_id: str) -> list[str | None]:
    return [message["status"] for message in caller.read(f"/chats/{chat_id}/messages")["items"]]


def test_marks_move_forward_only_and_reading_implies_delivery(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.direct(ben)
    for _ in range(4):
        ana.say(chat_id)
    assert receipts(ana, chat_id) == {ana.user_id: (5, 5), ben.user_id: (1, 1)}
    mark(ben, chat_id, "delivered", 3)
    assert receipts(ana, chat_id)[ben.user_id] == (3, 1)
    mark(ben, chat_id, "read", 2)
    assert receipts(ana, chat_id)[ben.user_id] == (3, 2)
    position = mark(ben, chat_id, "read", 4)
    assert receipts(ana, chat_id)[ben.user_id] == (4, 4)
    for kind, back in (("delivered", 2), ("read", 3), ("read", 4), ("read", 0), ("delivered", 0)):
        assert mark(ben, chat_id, kind, back) == position
    assert receipts(ana, chat_id)[ben.user_id] == (4, 4)
    assert ana.chat(chat_id)["head_seq"] == 5  # marks take no seq


def test_status_is_what_every_other_member_has_and_told_to_the_sender_alone(newcomers: Newcomers) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    chat_id = ana.group(ben, cleo)
    ana.say(chat_id)  # seq 2
    ana.say(chat_id)  # seq 3
    assert statuses(ana, chat_id) == ["SENT", "SENT"]
    mark(ben, chat_id, "delivered", 3)
    assert statuses(ana, chat_id) == ["SENT", "SENT"]
    mark(cleo, chat_id, "delivered", 2)
    assert statuses(ana, chat_id) == ["DELIVERED", "SENT"]
    mark(ben, chat_id, "read", 3)
    mark(cleo, chat_id, "read", 2)
    assert statuses(ana, chat_id) == ["READ", "SENT"]
    ben.say(chat_id)
    assert statuses(ana, chat_id) == ["READ", "SENT", None]
    assert statuses(ben, chat_id) == [None, None, "SENT"]
    assert (listed(ana)["others_delivered_seq"], listed(ana)["others_read_seq"]) == (2, 2)

    # Who joins later holds nothing back, and who is gone holds nothing back any more.
    succeeded(ana.call("PATCH", f"/chats/{chat_id}", {"open": True}))
    (dan,) = newcomers.some("dan")
    succeeded(dan.post(f"/chats/{chat_id}/join"))
    assert statuses(ana, chat_id) == ["READ", "SENT", None]
    succeeded(cleo.post(f"/chats/{chat_id}/leave"))
    assert statuses(ana, chat_id) == ["READ", "READ", None]


def test_alone_in_a_chat_nothing_is_delivered(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    ana.say(chat_id)
    assert statuses(ana, chat_id) == ["SENT"]


def test_in_chats_of_over_100_members_status_stays_sent(newcomers: Newcomers) -> None:
    ana, *others = newcomers.some(*["user"] * 101)
    chat_id = ana.group(*others)
    ana.say(chat_id)
    for other in others:
        other.say(chat_id)  # a send reads what came before it
    assert len(receipts(ana, chat_id)) == 101
    first = {"after_seq": 1, "limit": 1}
    assert ana.read(f"/chats/{chat_id}/messages", **first)["items"][0]["status"] == "SENT"
    succeeded(others[0].post(f"/chats/{chat_id}/leave"))
    assert ana.read(f"/chats/{chat_id}/messages", **first)["items"][0]["status"] == "READ"


def test_unread_counts_the_messages_after_the_read_mark(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(ben)
    assert (listed(ben)["unread"], listed(ben)["last_message"]) == (0, None)
    ana.say(chat_id)
    succeeded(ana.call("PATCH", f"/chats/{chat_id}", {"title": "Coffee"}))
    ana.say(chat_id)
    item = listed(ben)
    assert (item["unread"], item["read_seq"], item["head_seq"]) == (2, 1, 4)
    mark(ben, chat_id, "delivered", 4)
    assert listed(ben)["unread"] == 2
    mark(ben, chat_id, "read", 3)
    assert (listed(ben)["unread"], listed(ben)["read_seq"]) == (1, 3)
    ben.say(chat_id)
    assert (listed(ben)["unread"], listed(ben)["read_seq"]) == (0, 5)
    assert (listed(ana)["unread"], listed(ana)["read_seq"]) == (1, 4)


def test_an_item_of_the_list(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.direct(ben)
    message = ben.say(chat_id, "é" * 197 + "👨‍👩‍👧‍👦")
    item = listed(ana)
    assert item == {
        "chat": ana.chat(chat_id),
        "head_seq": 2,
        "unread": 1,
        "read_seq": 1,
        "others_delivered_seq": 2,
        "others_read_seq": 2,
        "last_message": {**message, "text": "é" * 197, "status": None},
        "activity_at": message["sent_at"],
    }
    assert listed(ben)["last_message"]["status"] == "SENT"


def test_the_list_runs_from_newest_activity_to_oldest(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    rooms = [ana.group(title=str(number)) for number in range(5)]
    ana.say(rooms[1])
    succeeded(ana.call("PATCH", f"/chats/{rooms[3]}", {"title": "busy"}))
    expected = [rooms[3], rooms[1], rooms[4], rooms[2], rooms[0]]

    for limit in (1, 2, 4, 5, 200):
        seen: list[str] = []
        page = ana.read("/chats", limit=limit)
        while True:
            seen += [item["chat"]["chat_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            assert len(page["items"]) == limit
            page = ana.read("/chats", limit=limit, cursor=page["next_cursor"])
        assert seen == expected
    times = [item["activity_at"] for item in ana.read("/chats")["items"]]
    assert times == sorted(times, reverse=True)
