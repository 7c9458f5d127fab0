"""The clients of the crash test notice what they are there to notice."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.support.talkers import Talker


def talker() -> Talker:
    made = Talker("ana", ["ws://nowhere"], "", Random(0), lambda talker: None, 1.0)
    made.hear({"type": "connected", "chats": {"room": {"head_seq": 4}}})
    return made


def event(seq: int, chat_id: str = "room", message_id: str = "019c99d1-f600-7000-8000-000000000000") -> dict[str, Any]:
    return {
        "type": "event",
        "chat_id": chat_id,
        "seq": seq,
        "event": {"type": "message.sent", "data": {"message_id": message_id}},
    }


def test_the_next_number_is_right_and_any_other_a_fault() -> None:
    ana = talker()
    ana.hear(event(5))
    ana.hear(event(6))
    assert ana.faults == []
    ana.hear(event(6))
    ana.hear(event(8))
    assert ana.faults == ["ana got 6 after 6 of room", "ana got 8 after 6 of room"]
    assert [seq for seq, _ in ana.heard["room"]] == [5, 6, 6, 8]


def test_a_new_connection_goes_on_where_the_last_one_ended() -> None:
    ana = talker()
    ana.hear(event(5))
    ana.resuming = {"room"}
    ana.hear({"type": "connected", "chats": {"room": {"head_seq": 9}}})
    ana.hear(event(7))
    assert ana.faults == ["ana got 7 after 5 of room"]


def test_a_chat_must_be_shown_before_its_first_event() -> None:
    ana = talker()
    ana.hear(event(3, "other"))
    assert ana.faults == ["ana got 3 of a chat that it is not in"]
    ana.hear({"type": "gone", "chat_id": "room"})
    ana.hear({"type": "chat", "chat": {"chat_id": "room"}})
    ana.hear(event(12))
    ana.hear(event(13))
    assert len(ana.faults) == 1


def test_answers_are_booked() -> None:
    ana = talker()
    one, other, third = ana.send("room"), ana.send("room"), ana.send("room")
    ana.hear({"type": "ack", "reply_to": one, "message_id": one, "position": "0:7"})
    ana.hear({"type": "error", "reply_to": other, "code": "no_such_chat"})
    ana.hear({"type": "error", "reply_to": third, "code": "unavailable"})
    ana.hear({"type": "rejected", "chat_id": "room", "position": "0:7", "message_id": one, "code": "no_such_chat"})
    assert str(ana.books.acked[one]) == "0:7"
    assert ana.books.turned_away == {other: "no_such_chat"}
    assert ana.books.rejected == {one: "no_such_chat"}
    assert list(ana.books.pending) == [third], "it is tried again"
    ana.hear({"type": "error", "code": "invalid"})
    assert len(ana.faults) == 1
