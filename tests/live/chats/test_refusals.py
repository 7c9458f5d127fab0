"""Every refusal of every route of chats: who calls what, and the code that they get."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from events.ids import direct_chat_id
from tests.support.caller import Caller, Newcomers, new_id, succeeded
from tests.support.http import check_problem

NOBODY = new_id(timedelta(days=-1))
"""A well-formed id that names nothing."""


@dataclass
class World:
    """`room` is a closed group with all of owner, admin, other_admin, member and peer; `hall` an open one of the owner
    alone; `pair` the direct chat of owner and member. The outsider is in none of them."""

    people: dict[str, Caller]
    chats: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def fill(self, template: Any) -> Any:
        """`{name}` stands for the id of a person, a chat or a message."""
        if isinstance(template, str):
            return template.format_map(self.ids) if "{" in template else template
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        return [self.fill(each) for each in template] if isinstance(template, list) else template


@pytest.fixture(scope="module")
def world(newcomers: Newcomers) -> World:
    names = ("owner", "admin", "other_admin", "member", "peer", "outsider")
    people = {name: newcomers(name) for name in names}
    owner, member = people["owner"], people["member"]
    room = owner.group(*(people[name] for name in names[1:5]))
    for name in ("admin", "other_admin"):
        succeeded(owner.put(f"/chats/{room}/members/{people[name].user_id}/role", {"role": "admin"}))
    chats = {"room": room, "hall": owner.group(open=True), "pair": owner.direct(member)}
    ids = {name: person.user_id for name, person in people.items()} | chats
    ids |= {
        "nobody": NOBODY,
        "said": owner.say(room)["message_id"],
        "elsewhere": owner.say(chats["hall"])["message_id"],
        "stranger_direct": direct_chat_id(owner.user_id, people["outsider"].user_id),
    }
    return World(people, chats, ids)


def text(**more: object) -> dict[str, object]:
    return {"message_id": new_id(), "kind": "TEXT", "text": "hello", **more}


def group(**more: object) -> dict[str, object]:
    return {"title": "Tea", "member_ids": [], **more}


Case = tuple[str, str, str, object, int, str]
"""Who, method, path below /v1, body, status, code."""

NOT_A_MEMBER: list[Case] = [
    (who, method, path.replace("{chat}", chat), body, 404, "no_such_chat")
    for method, path, body in (
        ("GET", "/chats/{chat}", None),
        ("PATCH", "/chats/{chat}", {"title": "Mine"}),
        ("PATCH", "/chats/{chat}", {"open": True}),
        ("PATCH", "/chats/{chat}", {}),
        ("GET", "/chats/{chat}/members", None),
        ("POST", "/chats/{chat}/members", {"user_ids": ["{outsider}"]}),
        ("POST", "/chats/{chat}/members", {"user_ids": ["{nobody}"]}),
        ("POST", "/chats/{chat}/members", {"user_ids": []}),
        ("DELETE", "/chats/{chat}/members/{member}", None),
        ("DELETE", "/chats/{chat}/members/{outsider}", None),
        ("DELETE", "/chats/{chat}/members/{nobody}", None),
        ("PUT", "/chats/{chat}/members/{member}/role", {"role": "admin"}),
        ("PUT", "/chats/{chat}/members/{nobody}/role", {"role": "admin"}),
        ("POST", "/chats/{chat}/join", None),
        ("POST", "/chats/{chat}/leave", None),
        ("POST", "/chats/{chat}/messages", text()),
        ("POST", "/chats/{chat}/messages", text(reply_to_message="{said}")),
        ("POST", "/chats/{chat}/messages", text(message_id="{said}")),
        ("POST", "/chats/{chat}/messages", {**text(), "kind": "IMAGE", "file_id": "f"}),
        ("GET", "/chats/{chat}/messages", None),
        ("GET", "/chats/{chat}/messages?before=2030-01-01T00:00:00Z", None),
        ("GET", "/chats/{chat}/messages/{said}", None),
        ("GET", "/chats/{chat}/messages/{nobody}", None),
        ("GET", "/chats/{chat}/events", None),
        ("POST", "/chats/{chat}/delivered", {"up_to_seq": 1}),
        ("POST", "/chats/{chat}/read", {"up_to_seq": 1}),
        ("POST", "/chats/{chat}/read", {"up_to_seq": 10_000}),
        ("GET", "/chats/{chat}/receipts", None),
        ("PUT", "/chats/{chat}/mute", {"until": None}),
    )
    for who, chat in (
        ("outsider", "{room}"),
        ("outsider", "{pair}"),
        ("owner", "{nobody}"),
        ("owner", "{stranger_direct}"),
        ("owner", "not-an-id"),
        ("owner", "%00"),
        ("owner", "{member}"),
    )
]
IN_A_DIRECT_CHAT: list[Case] = [
    ("owner", method, path, body, 409, "direct_chat")
    for method, path, body in (
        ("PATCH", "/chats/{pair}", {"title": "Us"}),
        ("PATCH", "/chats/{pair}", {"open": True}),
        ("PATCH", "/chats/{pair}", {}),
        ("POST", "/chats/{pair}/members", {"user_ids": ["{outsider}"]}),
        ("POST", "/chats/{pair}/members", {"user_ids": ["{nobody}"]}),
        ("DELETE", "/chats/{pair}/members/{member}", None),
        ("DELETE", "/chats/{pair}/members/{owner}", None),
        ("PUT", "/chats/{pair}/members/{member}/role", {"role": "admin"}),
        ("POST", "/chats/{pair}/join", None),
        ("POST", "/chats/{pair}/leave", None),
    )
]
WITHOUT_THE_ROLE: list[Case] = [
    (who, method, path, body, 403, "forbidden")
    for who, method, path, body in (
        ("member", "PATCH", "/chats/{room}", {"title": "Mine"}),
        ("member", "PATCH", "/chats/{room}", {"open": True}),
        ("member", "PATCH", "/chats/{room}", {}),
        ("member", "POST", "/chats/{room}/members", {"user_ids": ["{outsider}"]}),
        ("member", "POST", "/chats/{room}/members", {"user_ids": ["{nobody}"]}),
        ("member", "POST", "/chats/{room}/members", {"user_ids": []}),
        ("member", "DELETE", "/chats/{room}/members/{peer}", None),
        ("member", "DELETE", "/chats/{room}/members/{outsider}", None),
        ("member", "DELETE", "/chats/{room}/members/{nobody}", None),
        ("admin", "DELETE", "/chats/{room}/members/{other_admin}", None),
        ("admin", "DELETE", "/chats/{room}/members/{owner}", None),
        ("member", "PUT", "/chats/{room}/members/{peer}/role", {"role": "admin"}),
        ("member", "PUT", "/chats/{room}/members/{member}/role", {"role": "owner"}),
        ("admin", "PUT", "/chats/{room}/members/{peer}/role", {"role": "admin"}),
        ("admin", "PUT", "/chats/{room}/members/{admin}/role", {"role": "member"}),
        ("admin", "PUT", "/chats/{room}/members/{nobody}/role", {"role": "member"}),
        ("owner", "PUT", "/chats/{room}/members/{owner}/role", {"role": "member"}),
        ("owner", "PUT", "/chats/{room}/members/{owner}/role", {"role": "admin"}),
    )
]
NAMES_NOTHING: list[Case] = [
    *(
        ("owner", method, path.replace("{user}", user), body, 404, "no_such_user")
        for method, path, body in (
            ("PUT", "/chats/direct/{user}", None),
            ("DELETE", "/chats/{room}/members/{user}", None),
            ("PUT", "/chats/{room}/members/{user}/role", {"role": "admin"}),
        )
        for user in ("{nobody}", "not-an-id", "%00", "{room}", "me")
    ),
    ("owner", "PUT", "/chats/{room}/members/{outsider}/role", {"role": "admin"}, 404, "no_such_user"),
    ("owner", "POST", "/chats/{room}/members", {"user_ids": ["{nobody}"]}, 404, "no_such_user"),
    ("owner", "POST", "/chats/{room}/members", {"user_ids": ["{outsider}", ""]}, 404, "no_such_user"),
    ("owner", "POST", "/chats", group(member_ids=["{member}", "{nobody}"]), 404, "no_such_user"),
    ("owner", "POST", "/chats", group(member_ids=["x"]), 404, "no_such_user"),
    ("owner", "GET", "/chats/{room}/messages/{nobody}", None, 404, "no_such_message"),
    ("owner", "GET", "/chats/{room}/messages/{elsewhere}", None, 404, "no_such_message"),
    ("owner", "GET", "/chats/{room}/messages/not-an-id", None, 404, "no_such_message"),
    ("owner", "GET", "/chats/{room}/messages/%00", None, 404, "no_such_message"),
    ("owner", "POST", "/chats/{room}/messages", text(kind="IMAGE", file_id="{nobody}"), 404, "no_such_file"),
    ("owner", "POST", "/chats/{room}/messages", text(kind="FILE", file_id="x"), 404, "no_such_file"),
    ("owner", "POST", "/chats/{room}/messages", text(file_id="x"), 422, "invalid"),
]
NOT_VALID: list[Case] = [
    (who, method, path, body, 422, code)
    for who, method, path, body, code in (
        ("owner", "PUT", "/chats/direct/{owner}", None, "invalid"),
        # Groups
        ("owner", "POST", "/chats", {"member_ids": []}, "invalid"),
        ("owner", "POST", "/chats", {"title": "Tea"}, "invalid"),
        ("owner", "POST", "/chats", group(title=""), "invalid"),
        ("owner", "POST", "/chats", group(title="x" * 201), "invalid"),
        ("owner", "POST", "/chats", group(title="a\0b"), "invalid"),
        ("owner", "POST", "/chats", group(title=None), "invalid"),
        ("owner", "POST", "/chats", group(title=5), "invalid"),
        ("owner", "POST", "/chats", group(member_ids="{member}"), "invalid"),
        ("owner", "POST", "/chats", group(member_ids=[1]), "invalid"),
        ("owner", "POST", "/chats", group(member_ids=None), "invalid"),
        ("owner", "POST", "/chats", group(open="yes"), "invalid"),
        ("owner", "POST", "/chats", group(history="some"), "invalid"),
        ("owner", "POST", "/chats", group(chat_id="mine"), "invalid"),
        ("owner", "POST", "/chats", group(chat_id=NOBODY.upper()), "invalid"),
        ("owner", "POST", "/chats", group(chat_id="{pair}"), "invalid"),
        ("owner", "POST", "/chats", group(chat_id="00000000-0000-4000-8000-000000000000"), "invalid"),
        ("owner", "POST", "/chats", group(chat_id=new_id(timedelta(days=1))), "id_from_future"),
        ("owner", "POST", "/chats", group(members=[]), "unknown_field"),
        ("owner", "POST", "/chats", [], "invalid"),
        ("owner", "PATCH", "/chats/{room}", {"title": ""}, "invalid"),
        ("owner", "PATCH", "/chats/{room}", {"title": "x" * 201}, "invalid"),
        ("owner", "PATCH", "/chats/{room}", {"title": None}, "invalid"),
        ("owner", "PATCH", "/chats/{room}", {"open": None}, "invalid"),
        ("owner", "PATCH", "/chats/{room}", {"open": 1}, "invalid"),
        ("owner", "PATCH", "/chats/{room}", {"history": "all"}, "unknown_field"),
        # Members
        ("owner", "POST", "/chats/{room}/members", {}, "invalid"),
        ("owner", "POST", "/chats/{room}/members", {"user_ids": None}, "invalid"),
        ("owner", "POST", "/chats/{room}/members", {"user_ids": [], "role": "admin"}, "unknown_field"),
        ("owner", "PUT", "/chats/{room}/members/{member}/role", {"role": "king"}, "invalid"),
        ("owner", "PUT", "/chats/{room}/members/{member}/role", {}, "invalid"),
        ("owner", "POST", "/chats/{hall}/join", {"as": "admin"}, "unknown_field"),
        ("owner", "POST", "/chats/{hall}/leave", {"why": "bored"}, "unknown_field"),
        # Messages
        ("owner", "POST", "/chats/{room}/messages", {"kind": "TEXT", "text": "hi"}, "invalid"),
        ("owner", "POST", "/chats/{room}/messages", {"message_id": NOBODY, "text": "hi"}, "invalid"),
        ("owner", "POST", "/chats/{room}/messages", {"message_id": NOBODY, "kind": "TEXT"}, "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(text=""), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(text=None), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(text=7), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(text="a\0b"), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(kind="text"), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(kind="IMAGE"), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(kind="FILE", file_id=None), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(message_id="1"), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(message_id=NOBODY.upper()), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(message_id="{pair}"), "invalid"),
        ("owner", "POST", "/chats/{room}/messages", text(message_id=new_id(timedelta(days=1))), "id_from_future"),
        ("owner", "POST", "/chats/{room}/messages", text(reply_to_message="{nobody}"), "bad_reply"),
        ("owner", "POST", "/chats/{room}/messages", text(reply_to_message="{elsewhere}"), "bad_reply"),
        ("owner", "POST", "/chats/{room}/messages", text(reply_to_message="what you said"), "bad_reply"),
        ("owner", "POST", "/chats/{room}/messages", text(txt="hi"), "unknown_field"),
        # Marks, mutes, presence
        ("owner", "POST", "/chats/{room}/read", {}, "invalid"),
        ("owner", "POST", "/chats/{room}/read", {"up_to_seq": -1}, "invalid"),
        ("owner", "POST", "/chats/{room}/read", {"up_to_seq": 2**53}, "invalid"),
        ("owner", "POST", "/chats/{room}/read", {"up_to_seq": "1"}, "invalid"),
        ("owner", "POST", "/chats/{room}/delivered", {"up_to_seq": True}, "invalid"),
        ("owner", "POST", "/chats/{room}/delivered", {"up_to_seq": 1, "seq": 1}, "unknown_field"),
        ("owner", "PUT", "/chats/{room}/mute", {}, "invalid"),
        ("owner", "PUT", "/chats/{room}/mute", {"until": "tomorrow"}, "invalid"),
        ("owner", "PUT", "/chats/{room}/mute", {"until": 1893456000}, "invalid"),
        ("owner", "PUT", "/chats/{room}/mute", {"until": "2030-01-01T00:00:00"}, "invalid"),
        ("owner", "PUT", "/chats/{room}/mute", {"until": None, "forever": True}, "unknown_field"),
        ("owner", "POST", "/presence/query", {}, "invalid"),
        ("owner", "POST", "/presence/query", {"user_ids": ["x"] * 1001}, "invalid"),
        ("owner", "POST", "/presence/query", {"user_ids": [None]}, "invalid"),
        ("owner", "POST", "/presence/query", {"user_ids": [], "status": "online"}, "unknown_field"),
    )
]
PAGES: list[Case] = [
    *(
        ("owner", "GET", f"{path}?{query}", None, 422, "invalid")
        for path in ("/chats", "/chats/{room}/members", "/chats/{room}/messages", "/chats/{room}/events")
        for query in ("limit=0", "limit=201", "limit=-1", "limit=many", "limit=", "limit=1.5")
    ),
    *(
        ("owner", "GET", f"{path}?cursor={cursor}", None, 422, "bad_cursor")
        for path in ("/chats", "/chats/{room}/members")
        for cursor in ("", "x", "%00", "eyJhIjoxfQ", "WyJpbmJveCIsMSwieCJd", "x" * 5000)
    ),
    *(
        ("owner", "GET", f"/chats/{{room}}/messages?{query}", None, 422, "invalid")
        for query in (
            "before_seq=5&after_seq=1",
            "before=2030-01-01T00:00:00Z&after_seq=1",
            "before_seq=-1",
            "after_seq=-1",
            "before_seq=9007199254740992",
            "before_seq=x",
            "before=yesterday",
            "before=1893456000",
            "before=2030-01-01",
            "before=2030-01-01T00:00:00",
        )
    ),
    ("owner", "GET", "/chats/{room}/events?after_seq=-1", None, 422, "invalid"),
    ("owner", "GET", "/chats/{room}/events?after_seq=x", None, 422, "invalid"),
]
CONFLICTS: list[Case] = [
    ("peer", "POST", "/chats", group(chat_id="{room}"), 409, "chat_id_taken"),
    ("outsider", "POST", "/chats", group(chat_id="{hall}"), 409, "chat_id_taken"),
    ("member", "POST", "/chats/{room}/messages", text(message_id="{said}"), 409, "id_taken"),
    ("owner", "POST", "/chats/{room}/delivered", {"up_to_seq": 10_000}, 409, "beyond_head"),
    ("owner", "POST", "/chats/{room}/read", {"up_to_seq": 10_000}, 409, "beyond_head"),
]
TOO_LARGE: list[Case] = [
    ("owner", "POST", "/chats/{room}/messages", text(text="x" * 102_401), 413, "too_large"),
    ("owner", "POST", "/chats/{room}/messages", text(text="é" * 51_201), 413, "too_large"),
    ("owner", "POST", "/chats/{room}/messages", text(text="x" * 1_100_000), 413, "too_large"),
    ("owner", "POST", "/chats", group(member_ids=["x" * 30] * 40_000), 413, "too_large"),
]


CASES: list[Case] = [
    *NOT_A_MEMBER,
    *IN_A_DIRECT_CHAT,
    *WITHOUT_THE_ROLE,
    *NAMES_NOTHING,
    *NOT_VALID,
    *PAGES,
    *CONFLICTS,
    *TOO_LARGE,
]


def name_of(case: Case) -> str:
    who, method, path, body, _, code = case
    return f"{who} {method} {path[:60]} {str(body)[:40] if body else ''}: {code}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_is_refused(world: World, case: Case) -> None:
    who, method, path, body, status, code = case
    answer = world.people[who].call(method, world.fill(path), world.fill(body))
    document = check_problem(answer, status, code)
    assert ("server_time" in document) == (code == "id_from_future")


def test_what_was_refused_changed_nothing(world: World) -> None:
    """Runs after all of the above."""
    owner, room = world.people["owner"], world.chats["room"]
    events = owner.read(f"/chats/{room}/events")["items"]
    kinds = [each["event"]["type"] for each in events]
    assert kinds == ["chat.created", "member.role_changed", "member.role_changed", "message.sent"]
    assert owner.chat(world.chats["hall"])["member_count"] == 1
    assert owner.chat(world.chats["pair"])["head_seq"] == 1
    assert world.people["outsider"].read("/chats")["items"] == []


def test_every_route_of_chats_wants_a_token(newcomers: Newcomers) -> None:
    paths = newcomers.http.get("/openapi.json").json()["paths"]
    calls = [
        (method, path)
        for path, operations in paths.items()
        if path.startswith(("/v1/chats", "/v1/presence"))
        for method in operations
    ]
    assert len(calls) == 20
    for method, path in calls:
        answer = newcomers.http.request(method, path, json={})
        assert answer.status_code == 401, (method, path)
        check_problem(answer, 401, "bad_token")
