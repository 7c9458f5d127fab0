"""Sending messages over HTTP, and reading them back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from events.log import Position
from tests.support.caller import Caller, Newcomers, new_id, succeeded
from tests.support.http import check_problem


@pytest.fixture
def pair(newcomers: Newcomers) -> tuple[Caller, Caller, str]:
    """Two people and their direct chat."""
    ana, ben = newcomers.some("ana", "ben")
    return ana, ben, ana.direct(ben)


def test_a_message_is_answered_as_it_stands_in_the_chat(pair: tuple[Caller, Caller, str]) -> None:
    ana, ben, chat_id = pair
    body = {"message_id": new_id(), "kind": "TEXT", "text": "hello", "ext": {"draft": 1}}
    sent = succeeded(ana.post(f"/chats/{chat_id}/messages", body), 201)
    Position.parse(sent["position"])
    message = sent["message"]
    assert message == {
        "seq": 2,
        "n": 1,
        "message_id": body["message_id"],
        "chat_id": chat_id,
        "sender_id": ana.user_id,
        "kind": "TEXT",
        "text": "hello",
        "sent_at": message["sent_at"],
        "status": "SENT",
    }
    assert message["sent_at"].endswith("Z")
    assert ana.read(f"/chats/{chat_id}/messages") == {"items": [message], "has_more": False}
    assert ana.read(f"/chats/{chat_id}/messages/{body['message_id']}") == {"message": message}
    theirs = {**message, "status": None}
    assert ben.read(f"/chats/{chat_id}/messages") == {"items": [theirs], "has_more": False}
    assert ben.read(f"/chats/{chat_id}/messages/{body['message_id']}") == {"message": theirs}
    assert ben.read(f"/chats/{chat_id}/events", after_seq=1) == {
        "items": [
            {
                "chat_id": chat_id,
                "seq": 2,
                "n": 1,
                "event": {
                    "type": "message.sent",
                    "actor_id": ana.user_id,
                    "at": message["sent_at"],
                    "data": {"message_id": body["message_id"], "kind": "TEXT", "text": "hello"},
                },
            }
        ],
        "has_more": False,
    }


@pytest.mark.parametrize(
    "text",
    [
        "x",
        " ",
        "x" * 102_400,
        "é" * 51_200,
        "🫖" * 25_600,
        "line\r\n\tline\u2028",
        "\u202eright to left",
        '"\\/<b>{}',
        "0",
    ],
)
def test_text_of_1_to_102400_bytes_is_kept_as_it_is(pair: tuple[Caller, Caller, str], text: str) -> None:
    ana, ben, chat_id = pair
    assert ana.say(chat_id, text)["text"] == text
    assert ben.read(f"/chats/{chat_id}/messages")["items"][0]["text"] == text


def test_a_repeat_by_its_sender_is_answered_with_the_first_result(pair: tuple[Caller, Caller, str]) -> None:
    ana, ben, chat_id = pair
    body = {"message_id": new_id(), "kind": "TEXT", "text": "once"}
    path = f"/chats/{chat_id}/messages"
    first = succeeded(ana.post(path, body), 201)
    assert succeeded(ana.post(path, body), 200) == first
    # The id is the key: what else the repeat says is not looked at.
    assert succeeded(ana.post(path, {**body, "text": "twice"}), 200) == first
    assert succeeded(ana.post(path, {**body, "reply_to_message": new_id()}), 200) == first
    check_problem(ben.post(path, body), 409, "id_taken")
    assert ana.seqs(chat_id) == [2]

    succeeded(ben.post(f"/chats/{chat_id}/read", {"up_to_seq": 2}))
    again = succeeded(ana.post(path, body), 200)
    assert again == {**first, "message": {**first["message"], "status": "READ"}}


def test_an_id_belongs_to_a_message_within_its_chat(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    one, other = ana.group(), ben.group()
    message_id = new_id()
    assert ana.say(one, "mine", message_id=message_id)["seq"] == 2
    assert ben.say(other, "mine too", message_id=message_id)["seq"] == 2


def test_who_was_removed_still_learns_what_became_of_a_message(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(ben)
    body = {"message_id": new_id(), "kind": "TEXT", "text": "my last words"}
    first = succeeded(ben.post(f"/chats/{chat_id}/messages", body), 201)
    succeeded(ana.call("DELETE", f"/chats/{chat_id}/members/{ben.user_id}"))
    assert succeeded(ben.post(f"/chats/{chat_id}/messages", body), 200) == first
    check_problem(ben.post(f"/chats/{chat_id}/messages", {**body, "message_id": new_id()}), 404, "no_such_chat")
    check_problem(ben.get(f"/chats/{chat_id}/messages/{body['message_id']}"), 404, "no_such_chat")


def test_what_came_before_ones_own_time_cannot_be_answered(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group()
    before = ana.say(chat_id)
    succeeded(ana.post(f"/chats/{chat_id}/members", {"user_ids": [ben.user_id]}))
    body = {"message_id": new_id(), "kind": "TEXT", "text": "yes", "reply_to_message": before["message_id"]}
    check_problem(ben.post(f"/chats/{chat_id}/messages", body), 422, "bad_reply")
    assert ben.say(chat_id, reply_to_message=ana.say(chat_id)["message_id"])


def test_a_reply_names_a_message_of_the_chat(pair: tuple[Caller, Caller, str]) -> None:
    ana, ben, chat_id = pair
    question = ana.say(chat_id, "tea?")
    answer = ben.say(chat_id, "yes", reply_to_message=question["message_id"])
    assert answer["reply_to_message"] == question["message_id"]
    assert "reply_to_message" not in question
    assert ben.say(chat_id, "now", reply_to_message=None).keys() == question.keys()
    (event,) = ana.read(f"/chats/{chat_id}/events", after_seq=2, limit=1)["items"]
    assert event["event"]["data"]["reply_to_message"] == question["message_id"]


def test_who_stopped_beyond_the_chats_newest_event_is_told_where_it_ends(pair: tuple[Caller, Caller, str]) -> None:
    ana, _, chat_id = pair
    head = ana.say(chat_id)["seq"]
    path = f"/chats/{chat_id}/events"
    assert ana.read(path, after_seq=head) == {"items": [], "has_more": False}
    for beyond in (head + 1, 2**53 - 1):
        assert ana.read(path, after_seq=beyond) == {"items": [], "has_more": False, "head_seq": head}


@pytest.mark.parametrize("ahead", [timedelta(seconds=110), timedelta(days=-400)])
def test_ids_up_to_two_minutes_ahead_and_of_any_age_are_taken(
    pair: tuple[Caller, Caller, str], ahead: timedelta
) -> None:
    ana, _, chat_id = pair
    message_id = new_id(ahead)
    assert ana.say(chat_id, message_id=message_id)["message_id"] == message_id


def test_pages_run_through_all_messages_in_both_directions(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    for number in range(7):
        ana.say(chat_id, str(number))
        if number == 2:
            succeeded(ana.call("PATCH", f"/chats/{chat_id}", {"title": "Coffee"}))
    whole = [2, 3, 4, 6, 7, 8, 9]
    assert ana.seqs(chat_id) == whole
    path = f"/chats/{chat_id}/messages"

    assert ana.seqs(chat_id, limit=3) == [7, 8, 9]
    back = ana.read(path, limit=3, before_seq=7)
    assert ([each["seq"] for each in back["items"]], back["has_more"]) == ([3, 4, 6], True)
    back = ana.read(path, limit=3, before_seq=3)
    assert ([each["seq"] for each in back["items"]], back["has_more"]) == ([2], False)

    forth = ana.read(path, limit=3, after_seq=4)
    assert ([each["seq"] for each in forth["items"]], forth["has_more"]) == ([6, 7, 8], True)
    forth = ana.read(path, limit=3, after_seq=8)
    assert ([each["seq"] for each in forth["items"]], forth["has_more"]) == ([9], False)
    assert [each["n"] for each in ana.read(path)["items"]] == [1, 2, 3, 4, 5, 6, 7]

    for empty in ({"after_seq": 9}, {"after_seq": 2**53 - 1}, {"before_seq": 2}, {"before_seq": 0}):
        assert ana.read(path, **empty) == {"items": [], "has_more": False}
    assert ana.seqs(chat_id, before_seq=2**53 - 1, limit=200) == whole

    events = ana.read(f"/chats/{chat_id}/events", after_seq=3, limit=3)
    assert ([each["seq"] for each in events["items"]], events["has_more"]) == ([4, 5, 6], True)
    events = ana.read(f"/chats/{chat_id}/events", after_seq=6, limit=3)
    assert ([each["seq"] for each in events["items"]], events["has_more"]) == ([7, 8, 9], False)


def test_before_a_time_shown_is_before_everything_of_that_millisecond(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    messages = [ana.say(chat_id) for _ in range(4)]
    for edge in messages:
        earlier = [each["seq"] for each in messages if each["sent_at"] < edge["sent_at"]]
        assert ana.seqs(chat_id, before=edge["sent_at"]) == earlier
        assert ana.seqs(chat_id, before=edge["sent_at"].replace("Z", "+00:00")) == earlier
        assert ana.seqs(chat_id, before=edge["sent_at"], before_seq=3) == [seq for seq in earlier if seq < 3]
        up_to = [each["seq"] for each in messages if each["sent_at"] <= edge["sent_at"]]
        assert ana.seqs(chat_id, before=edge["sent_at"].replace("Z", "9Z")) == up_to
    assert ana.seqs(chat_id, before="1990-01-01T00:00:00Z") == []
    assert ana.seqs(chat_id, before="0001-01-01T00:00:00+23:59") == []
    assert ana.seqs(chat_id, before="9999-12-31T23:59:59-23:59", limit=2) == [4, 5]


def test_pages_end_early_at_one_mebibyte(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    for _ in range(12):
        ana.say(chat_id, "x" * 102_400)
    page = ana.read(f"/chats/{chat_id}/messages")
    assert page["has_more"]
    assert [each["seq"] for each in page["items"]] == list(range(14 - len(page["items"]), 14))
    assert 5 < len(page["items"]) < 11
    page = ana.read(f"/chats/{chat_id}/events", after_seq=1)
    assert page["has_more"]
    assert [each["seq"] for each in page["items"]] == list(range(2, 2 + len(page["items"])))


def test_sends_are_limited_and_the_answers_say_how(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    answer = ana.post(f"/chats/{chat_id}/messages", {"message_id": new_id(), "kind": "TEXT", "text": "hi"})
    assert answer.headers["RateLimit"].startswith('"sends";')
    assert answer.headers["RateLimit-Policy"].startswith('"sends";')
