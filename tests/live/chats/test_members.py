"""Who is in a chat: adding, removing, joining, leaving, roles."""

from __future__ import annotations

import pytest

from tests.support.caller import Caller, Json, Newcomers, succeeded
from tests.support.http import check_problem


def happened(caller: Caller, chat_id: str, after_seq: int = 1) -> list[tuple[str, str, Json]]:
    """Type, actor and data of what happened after a seq."""
    events = caller.read(f"/chats/{chat_id}/events", after_seq=after_seq)["items"]
    assert [each["seq"] for each in events] == list(range(after_seq + 1, after_seq + 1 + len(events)))
    return [(each["event"]["type"], each["event"]["actor_id"], each["event"]["data"]) for each in events]


def add(caller: Caller, chat_id: str, *others: Caller) -> Json:
    return succeeded(caller.post(f"/chats/{chat_id}/members", {"user_ids": [other.user_id for other in others]}))


def remove(caller: Caller, chat_id: str, other: Caller) -> Json:
    return succeeded(caller.call("DELETE", f"/chats/{chat_id}/members/{other.user_id}"))


def promote(caller: Caller, chat_id: str, other: Caller, role: str = "admin") -> Json:
    return succeeded(caller.put(f"/chats/{chat_id}/members/{other.user_id}/role", {"role": role}))


def test_owner_and_admins_add_people_and_members_stay_as_they_are(newcomers: Newcomers) -> None:
    ana, ben, cleo, dan = newcomers.some("ana", "ben", "cleo", "dan")
    chat_id = ana.group(ben)
    promote(ana, chat_id, ben)
    position = add(ben, chat_id, cleo, ana, dan, cleo)["position"]
    assert happened(cleo, chat_id, 2) == [
        ("member.added", ben.user_id, {"user_id": cleo.user_id}),
        ("member.added", ben.user_id, {"user_id": dan.user_id}),
    ]
    assert add(ana, chat_id, cleo, ben)["position"] == position
    assert add(ana, chat_id)["position"] == position
    assert ana.roles(chat_id) == {
        ana.user_id: "owner",
        ben.user_id: "admin",
        cleo.user_id: "member",
        dan.user_id: "member",
    }


def test_the_owner_removes_anyone_and_an_admin_plain_members(newcomers: Newcomers) -> None:
    ana, ben, cleo, dan = newcomers.some("ana", "ben", "cleo", "dan")
    chat_id = ana.group(ben, cleo, dan)
    promote(ana, chat_id, ben)
    promote(ana, chat_id, cleo)
    remove(ben, chat_id, dan)
    remove(ana, chat_id, cleo)
    assert happened(ana, chat_id, 3) == [
        ("member.removed", ben.user_id, {"user_id": dan.user_id}),
        ("member.removed", ana.user_id, {"user_id": cleo.user_id}),
    ]
    for gone in (cleo, dan):
        check_problem(gone.get(f"/chats/{chat_id}"), 404, "no_such_chat")
        assert gone.read("/chats")["items"] == []


def test_removing_somebody_who_is_not_there_changes_nothing(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group()
    assert remove(ana, chat_id, ben)["position"]
    assert ana.chat(chat_id)["head_seq"] == 1


def test_removing_oneself_is_leaving(newcomers: Newcomers) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    chat_id = ana.group(ben, cleo)
    remove(cleo, chat_id, cleo)
    remove(ana, chat_id, ana)
    assert happened(ben, chat_id) == [
        ("member.left", cleo.user_id, {"user_id": cleo.user_id}),
        ("member.role_changed", ana.user_id, {"user_id": ben.user_id, "role": "owner"}),
        ("member.left", ana.user_id, {"user_id": ana.user_id}),
    ]
    assert ben.roles(chat_id) == {ben.user_id: "owner"}


def test_roles_are_the_owners_to_give_and_ownership_is_handed_over(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(ben)
    position = promote(ana, chat_id, ben)["position"]
    assert promote(ana, chat_id, ben)["position"] == position  # so already
    assert promote(ana, chat_id, ana, "owner")["position"] == position
    promote(ana, chat_id, ben, "owner")
    assert ana.roles(chat_id) == {ana.user_id: "admin", ben.user_id: "owner"}
    promote(ben, chat_id, ana, "member")
    assert ana.roles(chat_id) == {ana.user_id: "member", ben.user_id: "owner"}
    assert [data for _, _, data in happened(ana, chat_id)] == [
        {"user_id": ben.user_id, "role": "admin"},
        {"user_id": ben.user_id, "role": "owner"},
        {"user_id": ana.user_id, "role": "member"},
    ]


@pytest.mark.parametrize("body", [None, {}, {"ext": {"from": "a link"}}])
def test_anybody_joins_an_open_chat_once(newcomers: Newcomers, body: object) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(open=True)
    position = succeeded(ben.post(f"/chats/{chat_id}/join", body))["position"]
    assert succeeded(ben.post(f"/chats/{chat_id}/join", body))["position"] == position
    assert happened(ben, chat_id) == [("member.joined", ben.user_id, {"user_id": ben.user_id})]
    assert ben.chat(chat_id)["me"] == {"role": "member", "joined_seq": 2, "muted_until": None}

    succeeded(ana.call("PATCH", f"/chats/{chat_id}", {"open": False}))
    succeeded(ben.post(f"/chats/{chat_id}/leave", body))
    check_problem(ben.post(f"/chats/{chat_id}/join", body), 404, "no_such_chat")
    check_problem(ben.post(f"/chats/{chat_id}/leave", body), 404, "no_such_chat")


def test_when_the_owner_leaves_the_longest_serving_admin_follows_else_member(newcomers: Newcomers) -> None:
    ana, ben, cleo, dan = newcomers.some("ana", "ben", "cleo", "dan")
    chat_id = ana.group(ben)
    add(ana, chat_id, cleo)
    add(ana, chat_id, dan)
    promote(ana, chat_id, dan)
    promote(ana, chat_id, cleo)
    for leaving, heir in ((ana, cleo), (cleo, dan), (dan, ben)):
        succeeded(leaving.post(f"/chats/{chat_id}/leave"))
        assert ben.roles(chat_id)[heir.user_id] == "owner"
    succeeded(ben.post(f"/chats/{chat_id}/leave"))
    check_problem(ben.get(f"/chats/{chat_id}"), 404, "no_such_chat")


def test_an_open_chat_that_everybody_left_belongs_to_who_comes_first(newcomers: Newcomers) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    chat_id = ana.group(open=True)
    succeeded(ana.post(f"/chats/{chat_id}/leave"))
    succeeded(ben.post(f"/chats/{chat_id}/join"))
    succeeded(cleo.post(f"/chats/{chat_id}/join"))
    assert cleo.roles(chat_id) == {ben.user_id: "owner", cleo.user_id: "member"}


def test_a_newcomer_sees_what_came_after_and_a_rejoin_starts_anew(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(open=True, history="since_join")
    before = ana.say(chat_id, "before")
    succeeded(ben.post(f"/chats/{chat_id}/join"))  # seq 3
    between = ana.say(chat_id, "between")
    assert ben.seqs(chat_id) == [4]
    assert [each["seq"] for each in ben.read(f"/chats/{chat_id}/events")["items"]] == [3, 4]
    check_problem(ben.get(f"/chats/{chat_id}/messages/{before['message_id']}"), 404, "no_such_message")
    assert ben.read(f"/chats/{chat_id}/messages/{between['message_id']}")["message"]["text"] == "between"

    succeeded(ben.post(f"/chats/{chat_id}/leave"))
    ana.say(chat_id, "behind the back")
    succeeded(ben.post(f"/chats/{chat_id}/join"))  # seq 7
    assert ben.seqs(chat_id) == []
    assert ben.seqs(chat_id, after_seq=0) == []
    assert ben.seqs(chat_id, before_seq=6) == []
    assert ben.seqs(chat_id, before="2999-01-01T00:00:00Z") == []
    assert [each["seq"] for each in ben.read(f"/chats/{chat_id}/events")["items"]] == [7]
    check_problem(ben.get(f"/chats/{chat_id}/messages/{between['message_id']}"), 404, "no_such_message")
    (item,) = ben.read("/chats")["items"]
    assert (item["unread"], item["last_message"], item["read_seq"]) == (0, None, 7)


def test_where_history_is_all_a_newcomer_sees_everything(newcomers: Newcomers) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat_id = ana.group(open=True)
    ana.say(chat_id)
    succeeded(ben.post(f"/chats/{chat_id}/join"))
    assert ben.seqs(chat_id) == [2]
    assert ben.read("/chats")["items"][0]["unread"] == 0


def test_a_group_holds_5000(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    nobody = [f"00000000-0000-7000-8000-{number:012x}" for number in range(5_000)]
    check_problem(ana.post("/chats", {"title": "All", "member_ids": nobody}), 409, "group_full")
    chat_id = ana.group()
    check_problem(ana.post(f"/chats/{chat_id}/members", {"user_ids": [*nobody, "x"]}), 409, "group_full")
    check_problem(ana.post(f"/chats/{chat_id}/members", {"user_ids": nobody}), 404, "no_such_user")
