"""Making chats and looking at them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from events.ids import direct_chat_id, is_uuid7
from events.log import Position
from tests.support.caller import Newcomers, new_id, succeeded
from tests.support.http import check_problem


def test_a_new_group_is_shown_to_its_creator(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    answer = ana.post("/chats", {"title": "Tea", "member_ids": [ben.user_id], "ext": {"mine": [1]}})
    made = succeeded(answer, 201)
    Position.parse(made["position"])
    chat = made["chat"]
    chat_id = chat.pop("chat_id")
    assert is_uuid7(chat_id)
    assert chat.pop("created_at").endswith("Z")
    members = chat.pop("members")
    assert chat == {
        "kind": "group",
        "title": "Tea",
        "open": False,
        "history": "since_join",
        "created_by": ana.user_id,
        "member_count": 2,
        "me": {"role": "owner", "joined_seq": 1, "muted_until": None},
        "head_seq": 1,
    }
    assert members == [
        {"user_id": ana.user_id, "role": "owner", "joined_seq": 1},
        {"user_id": ben.user_id, "role": "member", "joined_seq": 1},
    ]
    assert ben.chat(chat_id)["me"]["role"] == "member"


def test_a_group_may_be_empty_but_for_its_creator_and_names_nobody_twice(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    assert ana.chat(ana.group())["member_count"] == 1
    twice = ana.group(ben, ana, ben)
    assert sorted(ana.roles(twice)) == sorted([ana.user_id, ben.user_id])


@pytest.mark.parametrize(
    ("given", "history"),
    [
        ({}, "since_join"),
        ({"open": True}, "all"),
        ({"open": False}, "since_join"),
        ({"open": True, "history": "since_join"}, "since_join"),
        ({"open": False, "history": "all"}, "all"),
        ({"open": True, "history": None}, "all"),
    ],
)
def test_history_is_open_where_the_chat_is_unless_told_otherwise(
    newcomers: Newcomers, given: dict[str, Any], history: str
) -> None:
    ana = newcomers("ana")
    chat = ana.chat(ana.group(**given))
    assert (chat["open"], chat["history"]) == (bool(given.get("open")), history)


@pytest.mark.parametrize("title", ["x", "x" * 200, "🫖" * 200, " x ", "👨\u200d👩\u200d👧", '"<&>{chat}'])
def test_titles_of_1_to_200_characters_are_kept_as_they_are(newcomers: Newcomers, title: str) -> None:
    ana = newcomers("ana")
    assert ana.chat(ana.group(title=title))["title"] == title


def test_a_group_with_an_id_of_the_clients_own_is_made_once(newcomers: Newcomers) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    body = {"title": "Tea", "member_ids": [ben.user_id], "chat_id": new_id()}
    first = succeeded(ana.post("/chats", body), 201)
    assert first["chat"]["chat_id"] == body["chat_id"]

    again = succeeded(ana.post("/chats", {**body, "title": "Coffee", "member_ids": [cleo.user_id]}), 200)
    assert again["chat"] == first["chat"]
    assert again["position"] == first["position"]
    for other in (ben, cleo):
        check_problem(other.post("/chats", {**body, "member_ids": []}), 409, "chat_id_taken")

    # Somebody who was erased since the first call does not spoil the repeat.
    ben.erase()
    assert succeeded(ana.post("/chats", body), 200)["chat"]["member_count"] == 1

    # Who has left has no chat to be shown.
    succeeded(ana.post(f"/chats/{body['chat_id']}/leave"))
    check_problem(ana.post("/chats", body), 404, "no_such_chat")


def test_a_direct_chat_is_the_same_for_both_whoever_asks(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    made = succeeded(ana.put(f"/chats/direct/{ben.user_id}"), 201)
    chat = made["chat"]
    assert chat["chat_id"] == direct_chat_id(ben.user_id, ana.user_id)
    assert (chat["kind"], chat["title"], chat["open"], chat["history"]) == ("direct", None, False, "all")
    assert {member["user_id"]: member["role"] for member in chat["members"]} == {
        ana.user_id: "member",
        ben.user_id: "member",
    }
    again = succeeded(ana.put(f"/chats/direct/{ben.user_id}"), 200)
    assert again == made
    from_ben = succeeded(ben.put(f"/chats/direct/{ana.user_id}"), 200)
    assert from_ben == made


def test_of_those_who_make_a_chat_at_once_one_is_told_that_it_is_new(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    body = {"title": "Tea", "member_ids": [ben.user_id], "chat_id": new_id()}
    with ThreadPoolExecutor(8) as pool:
        direct = [pool.submit((ana, ben)[i % 2].put, f"/chats/direct/{(ben, ana)[i % 2].user_id}") for i in range(8)]
        assert sorted(made.result().status_code for made in direct) == [200] * 7 + [201]
        group = [pool.submit(ana.post, "/chats", body) for _ in range(8)]
        assert sorted(made.result().status_code for made in group) == [200] * 7 + [201]


def test_title_and_openness_change_in_one_event_each(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(ben)
    position = succeeded(ana.call("PATCH", f"/chats/{chat_id}", {"title": "Coffee", "open": True}))["position"]
    shown = ben.chat(chat_id)
    assert (shown["title"], shown["open"], shown["history"]) == ("Coffee", True, "since_join")
    events = ben.read(f"/chats/{chat_id}/events", after_seq=1)["items"]
    assert [(each["seq"], each["n"], each["event"]["type"], each["event"]["data"]) for each in events] == [
        (2, None, "chat.retitled", {"title": "Coffee"}),
        (3, None, "chat.opened", {"open": True}),
    ]
    # What changes nothing takes no seq, and answers with where the chat's log stands.
    for same in ({"title": "Coffee", "open": True}, {"title": "Coffee"}, {"open": True}, {}):
        assert succeeded(ana.call("PATCH", f"/chats/{chat_id}", same))["position"] == position
    assert ben.chat(chat_id)["head_seq"] == 3


@pytest.mark.parametrize("title", ["", "   ", "Tea\nCoffee", "\u0007", "\u200b\u2060", "\u202eaeT", "x" * 201])
def test_a_title_is_a_line_that_is_seen(newcomers: Newcomers, title: str) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    for answer in (
        ana.post("/chats", {"title": title, "member_ids": []}),
        ana.call("PATCH", f"/chats/{chat_id}", {"title": title}),
    ):
        assert [each["field"] for each in check_problem(answer, 422, "invalid")["errors"]] == ["title"]
    assert ana.chat(chat_id)["head_seq"] == 1


def test_up_to_50_members_are_listed_in_the_chat(newcomers: Newcomers) -> None:
    ana, *others = newcomers.some(*["user"] * 51)
    chat_id = ana.group(*others[:49])
    chat = ana.chat(chat_id)
    assert (chat["member_count"], len(chat["members"])) == (50, 50)
    succeeded(ana.post(f"/chats/{chat_id}/members", {"user_ids": [others[49].user_id]}))
    chat = ana.chat(chat_id)
    assert chat["member_count"] == 51
    assert "members" not in chat
    assert ana.read("/chats")["items"][0]["chat"] == chat

    listed: list[str] = []
    page = ana.read(f"/chats/{chat_id}/members", limit=20)
    while True:
        listed += [member["user_id"] for member in page["items"]]
        if page["next_cursor"] is None:
            break
        page = ana.read(f"/chats/{chat_id}/members", limit=20, cursor=page["next_cursor"])
    assert listed == sorted(person.user_id for person in (ana, *others[:50]))


def test_a_mute_is_ones_own_and_ends_with_its_time(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(ben)
    path = f"/chats/{chat_id}/mute"
    for until, shown in [
        ("2999-12-31T23:59:59.5+01:00", "2999-12-31T22:59:59.500Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
        ("2020-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("2999-01-01t00:00:00z", "2999-01-01T00:00:00.000Z"),
    ]:
        answer = succeeded(ana.put(path, {"until": until}))
        assert answer["muted_until"] == shown
        Position.parse(answer["position"])
        assert ana.chat(chat_id)["me"]["muted_until"] == shown
        assert ana.read("/chats")["items"][0]["chat"]["me"]["muted_until"] == shown
    assert ben.chat(chat_id)["me"]["muted_until"] is None
    assert succeeded(ana.put(path, {"until": None}))["muted_until"] is None
    assert ana.chat(chat_id)["me"]["muted_until"] is None
    assert ana.chat(chat_id)["head_seq"] == 1
