"""Accounts over HTTP: every call of the contract, on a real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.demo_pushes import KEPT
from commands.errors import NotYet
from streams.push.ports import Outcome, Push
from streams.push.stream import Sent
from tests.support.http import Web, check_problem, web
from tests.support.people import PASSWORD

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def our(tmp_path: Path) -> AsyncIterator[Web]:
    async with web(tmp_path) as made:
        yield made


def login(our: Web, username: str = "ana", password: str = PASSWORD) -> Any:
    return our.post("/v1/auth/login", {"username": username, "password": password})


# --- registering and signing in ---


async def test_registering_gives_tokens_that_work(our: Web) -> None:
    answer = await our.post("/v1/auth/register", {"username": "Ana", "password": PASSWORD, "display_name": "Ana B"})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"user", "access_token", "refresh_token", "expires_in"}
    assert made["expires_in"] == 900
    me = await our.get("/v1/me", made["access_token"])
    assert me.json() == {
        "user_id": made["user"]["user_id"],
        "username": "ana",
        "display_name": "Ana B",
        "push_preview": True,
        "locale": None,
        "admin": False,
    }


async def test_a_taken_name_is_a_conflict(our: Web) -> None:
    await our.register("ana")
    again = await our.post("/v1/auth/register", {"username": "ANA", "password": PASSWORD})
    check_problem(again, 409, "username_taken")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "a b"}, "username"),
        ({"username": "ab"}, "username"),
        ({"username": "x" * 33}, "username"),
        ({"username": "ana\n"}, "username"),
        ({"username": 7}, "username"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"password": None}, "password"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": " "}, "display_name"),
        ({"display_name": "x" * 65}, "display_name"),
        ({"display_name": "a\0b"}, "display_name"),
        ({"display_name": "\u200b"}, "display_name"),
        ({"display_name": "\u3164"}, "display_name"),
        ({"display_name": "Ana\u202e"}, "display_name"),
        ({"ext": []}, "ext"),
    ],
)
async def test_a_field_out_of_shape_is_named(our: Web, change: dict[str, Any], field: str) -> None:
    answer = await our.post("/v1/auth/register", {"username": "ana", "password": PASSWORD, **change})
    assert [each["field"] for each in check_problem(answer, 422, "invalid")["errors"]] == [field]


async def test_wrong_name_and_wrong_password_look_the_same(our: Web) -> None:
    await our.register("ana")
    right = await login(our)
    assert (right.status_code, set(right.json())) == (
        200,
        {"user", "access_token", "refresh_token", "expires_in"},
    )
    documents = [
        check_problem(await login(our, username, password), 401, "bad_credentials")
        for username, password in (("ana", "wrong password"), ("nobody", PASSWORD), ("no such name!", ""))
    ]
    assert documents[0] == documents[1] == documents[2]


async def test_logins_are_limited_by_name_and_address_together(our: Web) -> None:
    await our.register("ana")
    await our.register("ben")
    for _ in range(10):
        check_problem(await login(our, "ana", "wrong password"), 401, "bad_credentials")
    refused = await login(our, "ANA")
    document = check_problem(refused, 429, "rate_limited")
    assert document["retry_after_ms"] == 6000
    assert refused.headers["retry-after"] == "6"
    assert refused.headers["ratelimit"] == '"logins";r=0;t=60'
    assert refused.headers["ratelimit-policy"] == '"logins";q=10;w=60'
    assert (await login(our, "ben")).headers["ratelimit"] == '"logins";r=9;t=6'
    our.its.clock.advance(6)
    assert (await login(our, "ana")).status_code == 200


async def test_registrations_are_limited_by_address(tmp_path: Path) -> None:
    async with web(tmp_path, registrations_per_minute=3) as our:
        for number in range(3):
            await our.register(f"user{number}")
        refused = await our.post("/v1/auth/register", {"username": "user3", "password": PASSWORD})
        check_problem(refused, 429, "rate_limited")
        elsewhere = httpx.ASGITransport(app=our.app, client=("192.0.2.99", 1))
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://chat.example") as client:
            answer = await client.post("/v1/auth/register", json={"username": "user3", "password": PASSWORD})
        assert answer.status_code == 201


# --- tokens ---


async def test_refreshing_and_repeating_it_over_http(our: Web) -> None:
    first = await our.register()
    body = {"refresh_token": first["refresh_token"], "request_id": "r1"}
    second = await our.post("/v1/auth/refresh", body)
    assert second.status_code == 200
    assert (await our.post("/v1/auth/refresh", body)).json() == second.json()
    check_problem(await our.post("/v1/auth/refresh", {"refresh_token": first["refresh_token"]}), 401, "bad_token")
    check_problem(await our.get("/v1/me", second.json()["access_token"]), 401, "bad_token")


async def test_signing_out_ends_the_session(our: Web) -> None:
    first = await our.register()
    body = {"refresh_token": first["refresh_token"]}
    answer = await our.post("/v1/auth/logout", body)
    assert (answer.status_code, answer.content) == (204, b"")
    check_problem(await our.get("/v1/me", first["access_token"]), 401, "bad_token")
    assert (await our.post("/v1/auth/logout", body)).status_code == 204
    check_problem(await our.post("/v1/auth/logout", {"refresh_token": "x"}), 401, "bad_token")


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        ("Basic YTpi", "Bearer"),
        ("Bearer", "Bearer"),
        ("Bearer x", 'Bearer error="invalid_token"'),
        ("Bearer a.b.c", 'Bearer error="invalid_token"'),
        ("Bearer \xff", 'Bearer error="invalid_token"'),
    ],
)
async def test_without_a_good_token_one_is_not_let_in(our: Web, header: str | None, challenge: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = await our.get("/v1/me", headers=headers)
    check_problem(answer, 401, "bad_token")
    assert answer.headers["www-authenticate"] == challenge


async def test_a_token_that_ran_out_is_refused(our: Web) -> None:
    token = (await our.register())["access_token"]
    our.its.clock.advance(899)
    assert (await our.get("/v1/me", token)).status_code == 200
    our.its.clock.advance(1)
    check_problem(await our.get("/v1/me", token), 401, "bad_token")


# --- one's own account ---


async def test_a_profile_changes_in_what_is_given(our: Web) -> None:
    token = (await our.register())["access_token"]
    for change in (
        {"display_name": "Ana B"},
        {"push_preview": False, "locale": "pt-BR"},
        {"locale": None},
        {"ext": {"a": 1}},
        {},
    ):
        before = (await our.get("/v1/me", token)).json()
        answer = await our.call("PATCH", "/v1/me", token, json=change)
        assert answer.status_code == 200
        change.pop("ext", None)
        assert answer.json() == {**before, **change}
        assert (await our.get("/v1/me", token)).json() == answer.json()


@pytest.mark.parametrize(
    "change",
    [
        {"display_name": None},
        {"push_preview": None},
        {"push_preview": 1},
        {"push_preview": "yes"},
        {"locale": "not a locale"},
        {"locale": ""},
        {"display_name": "\u0007"},
        {"display_name": "\u2066Ana\u2069"},
        {"display_name": "\u00a0\u3000"},
    ],
)
async def test_a_profile_takes_no_nonsense(our: Web, change: dict[str, Any]) -> None:
    token = (await our.register())["access_token"]
    before = (await our.get("/v1/me", token)).json()
    check_problem(await our.call("PATCH", "/v1/me", token, json=change), 422, "invalid")
    assert (await our.get("/v1/me", token)).json() == before


async def test_a_username_cannot_be_patched(our: Web) -> None:
    token = (await our.register())["access_token"]
    answer = await our.call("PATCH", "/v1/me", token, json={"username": "ben"})
    assert check_problem(answer, 422, "unknown_field")["errors"] == [{"field": "username", "message": "is not known"}]


async def test_a_changed_password_ends_the_other_sessions(our: Web) -> None:
    first, second = await our.register(), (await _again(our))
    body = {"old": PASSWORD, "new": "new password"}
    wrong = await our.post("/v1/me/password", {**body, "old": "wrong password"}, first["access_token"])
    check_problem(wrong, 401, "bad_credentials")
    assert (await our.post("/v1/me/password", body, first["access_token"])).status_code == 204
    assert (await our.get("/v1/me", first["access_token"])).status_code == 200
    check_problem(await our.get("/v1/me", second["access_token"]), 401, "bad_token")
    check_problem(await login(our), 401, "bad_credentials")
    assert (await login(our, "ana", "new password")).status_code == 200


async def _again(our: Web) -> dict[str, Any]:
    made: dict[str, Any] = (await login(our)).json()
    return made


async def test_a_stolen_token_does_not_serve_to_guess_the_password(our: Web) -> None:
    token = (await our.register())["access_token"]
    for _ in range(5):
        await our.post("/v1/me/password", {"old": "wrong password", "new": "new password"}, token)
        await our.call("DELETE", "/v1/me", token, json={"password": "wrong password"})
    check_problem(await our.call("DELETE", "/v1/me", token, json={"password": PASSWORD}), 429, "rate_limited")
    assert (await our.get("/v1/me", token)).status_code == 200


async def test_sessions_are_listed_in_pages_and_ended_one_by_one(our: Web) -> None:
    await our.post("/v1/auth/register", {"username": "ana", "password": PASSWORD}, headers={"User-Agent": "phone"})
    tokens = []
    for name in ("laptop", "tablet"):
        our.its.clock.advance(1)
        body = {"username": "ana", "password": PASSWORD}
        tokens.append((await our.post("/v1/auth/login", body, headers={"User-Agent": name})).json())
    token = tokens[0]["access_token"]
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(3):
        page = (
            await our.get("/v1/sessions", token, params={"limit": 1} | ({"cursor": cursor} if cursor else {}))
        ).json()
        assert len(page["items"]) == 1
        found += page["items"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert [each["client"] for each in found] == ["tablet", "laptop", "phone"]
    assert [each["current"] for each in found] == [False, True, False]
    assert found[0]["created_at"] == found[0]["last_used_at"] == "2026-03-01T12:00:02.000Z"
    assert found == (await our.get("/v1/sessions", token)).json()["items"]
    for each in found[::2]:
        assert (await our.call("DELETE", f"/v1/sessions/{each['session_id']}", token)).status_code == 204
        check_problem(await our.call("DELETE", f"/v1/sessions/{each['session_id']}", token), 404, "not_found")
    check_problem(await our.get("/v1/me", tokens[1]["access_token"]), 401, "bad_token")
    assert len((await our.get("/v1/sessions", token)).json()["items"]) == 1


@pytest.mark.parametrize(
    "session_id", ["x", "%00", "%F0%9F%8E%88", "a%20b", "x" * 500, "019ca945-0a00-7200-93c1-d107bfb589e6"]
)
async def test_no_session_of_any_shape_is_not_found(our: Web, session_id: str) -> None:
    token = (await our.register())["access_token"]
    check_problem(await our.call("DELETE", f"/v1/sessions/{session_id}", token), 404, "not_found")


async def test_somebody_elses_session_is_not_found(our: Web) -> None:
    ana, ben = await our.register("ana"), await our.register("ben")
    session_id = (await our.get("/v1/sessions", ana["access_token"])).json()["items"][0]["session_id"]
    check_problem(await our.call("DELETE", f"/v1/sessions/{session_id}", ben["access_token"]), 404, "not_found")
    assert (await our.get("/v1/me", ana["access_token"])).status_code == 200


async def test_an_erased_person_is_gone(our: Web) -> None:
    ana, ben = await our.register("ana"), await our.register("ben")
    other = await _again(our)
    ended: list[str] = []
    our.its.ended.observers.append(lambda session_id, user_id: ended.append(user_id))
    user_id = ana["user"]["user_id"]
    wrong = await our.call("DELETE", "/v1/me", ana["access_token"], json={"password": "wrong password"})
    check_problem(wrong, 401, "bad_credentials")
    answer = await our.call("DELETE", "/v1/me", ana["access_token"], json={"password": PASSWORD})
    assert (answer.status_code, answer.content) == (204, b"")
    assert our.its.chats.left == [user_id]
    assert ended == [user_id, user_id]
    for token in (ana["access_token"], other["access_token"]):
        check_problem(await our.get("/v1/me", token), 401, "bad_token")
    check_problem(await login(our), 401, "bad_credentials")
    check_problem(await our.post("/v1/auth/refresh", {"refresh_token": ana["refresh_token"]}), 401, "bad_token")
    found = await our.post("/v1/users/query", {"user_ids": [user_id]}, ben["access_token"])
    assert found.json() == {"items": [], "next_cursor": None}
    again = await our.post("/v1/auth/register", {"username": "ana", "password": PASSWORD})
    check_problem(again, 409, "username_taken")


async def test_an_erasure_stands_even_if_leaving_the_chats_takes_longer(our: Web) -> None:
    ana = await our.register("ana")
    our.its.chats.failing = NotYet("busy")
    answer = await our.call("DELETE", "/v1/me", ana["access_token"], json={"password": PASSWORD})
    assert answer.status_code == 204
    assert our.its.chats.left == []
    our.its.chats.failing = None
    assert await our.its.accounts.finish_erasures() == 1
    assert our.its.chats.left == [ana["user"]["user_id"]]


# --- finding people ---


async def test_people_are_found_by_prefix_in_pages(our: Web) -> None:
    token = (await our.register("zoe"))["access_token"]
    for number in range(5):
        our.its.clock.advance(1)
        await our.register(f"sam{number}" if number % 2 else f"xx{number}", display_name=f"Sam 🎈 {'ß' * 50}")
    found: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        params = {"query": "SAM", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await our.get("/v1/users", token, params=params)).json()
        found += [user["username"] for user in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == ["sam1", "sam3", "xx0", "xx2", "xx4"]
    assert set(page["items"][0]) == {"user_id", "username", "display_name"}


@pytest.mark.parametrize(
    "query",
    ["", "query=", "query=" + "x" * 65, "query=%00", "query=a&limit=0", "query=a&limit=201", "query=a&limit=x"],
)
async def test_a_search_out_of_shape_is_refused(our: Web, query: str) -> None:
    token = (await our.register())["access_token"]
    check_problem(await our.get(f"/v1/users?{query}", token), 422, "invalid")


@pytest.mark.parametrize("path", ["/v1/users?query=a&", "/v1/sessions?"])
async def test_a_cursor_that_was_not_given_is_refused(our: Web, path: str) -> None:
    token = (await our.register())["access_token"]
    for cursor in ("", "x", "%00", "%F0%9F%8E%88"):
        check_problem(await our.get(f"{path}cursor={cursor}", token), 422, "bad_cursor")


async def test_users_come_by_their_ids(our: Web) -> None:
    ana, ben = await our.register("ana"), await our.register("ben")
    ids = [ben["user"]["user_id"], "nobody", "", ana["user"]["user_id"]]
    answer = await our.post("/v1/users/query", {"user_ids": ids}, ana["access_token"])
    assert answer.json() == {"items": [ben["user"], ana["user"]], "next_cursor": None}
    too_many = await our.post("/v1/users/query", {"user_ids": ["x"] * 201}, ana["access_token"])
    check_problem(too_many, 422, "invalid")


# --- the demo ---


async def test_a_demo_code_signs_in_once_and_not_for_long(tmp_path: Path) -> None:
    async with web(tmp_path, demo=True) as our:
        assert our.services.demo is not None
        user_id = (await our.register())["user"]["user_id"]
        code = our.services.demo.make(user_id)
        answer = await our.post("/v1/demo/login", {"code": code})
        assert answer.json()["user"]["user_id"] == user_id
        late = our.services.demo.make(user_id)
        our.its.clock.advance(600)
        for used_up in (code, late, "x", ""):
            check_problem(await our.post("/v1/demo/login", {"code": used_up}), 401, "bad_credentials")


async def test_a_demo_user_has_a_phone_and_sees_only_what_was_pushed_to_it(tmp_path: Path) -> None:
    async with web(tmp_path, demo=True) as our:
        assert our.services.demo is not None
        signed_in = {}
        for name in ("ana", "ben"):
            code = our.services.demo.make((await our.register(name))["user"]["user_id"])
            signed_in[name] = (await our.post("/v1/demo/login", {"code": code})).json()
        ben = signed_in["ben"]["user"]["user_id"]
        [phone] = await our.its.devices.of_user(ben)
        journaled: list[Sent] = []

        async def journal(sent: Sequence[Sent]) -> None:
            journaled.extend(sent)

        pushes = [
            Sent(Push(phone, "c1", seq, f"m{seq}", "Ana", f"line {seq}", seq, our.its.clock()), Outcome("logged"), AT)
            for seq in range(1, KEPT + 2)
        ]
        await our.services.demo_pushes.after(journal)(pushes)

        seen = await our.get("/v1/demo/pushes", signed_in["ben"]["access_token"])
        assert [item["body"] for item in seen.json()["items"]] == [f"line {seq}" for seq in range(2, KEPT + 2)]
        assert seen.json()["items"][-1] == {
            "at": "2026-03-01T12:00:00.000Z",
            "device_id": "demo-phone",
            "chat_id": "c1",
            "seq": KEPT + 1,
            "title": "Ana",
            "body": f"line {KEPT + 1}",
            "badge": KEPT + 1,
            "result": "logged",
            "detail": "",
        }
        assert journaled == pushes
        others = await our.get("/v1/demo/pushes", signed_in["ana"]["access_token"])
        assert others.json() == {"items": []}
        check_problem(await our.get("/v1/demo/pushes"), 401, "bad_token")


async def test_outside_of_a_demo_there_is_no_such_route(our: Web) -> None:
    check_problem(await our.post("/v1/demo/login", {"code": "x"}), 404, "not_found")
    token = (await our.register())["access_token"]
    check_problem(await our.get("/v1/demo/pushes", token), 404, "not_found")


# --- before anybody has signed in ---

UNSIGNED = ["/v1/auth/register", "/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout", "/v1/demo/login"]


@pytest.mark.parametrize("path", UNSIGNED)
async def test_bodies_are_small_before_sign_in(tmp_path: Path, path: str) -> None:
    async with web(tmp_path, demo=True) as our:
        most = b'{"a":"' + b"x" * (16 * 1024 - 8) + b'"}'
        headers = {"Content-Type": "application/json"}
        check_problem(await our.call("POST", path, content=most, headers=headers), 422, "unknown_field")
        check_problem(await our.call("POST", path, content=most + b" ", headers=headers), 413, "too_large")


async def test_every_route_that_takes_a_body_without_a_token_takes_a_small_one(tmp_path: Path) -> None:
    async with web(tmp_path, demo=True) as our:
        paths = (await our.get("/openapi.json")).json()["paths"]
        open_to_all = [
            path
            for path, operations in paths.items()
            for operation in operations.values()
            if "requestBody" in operation and "security" not in operation
        ]
        assert set(open_to_all) <= set(UNSIGNED)


async def test_who_has_no_token_is_told_so_before_the_body_is_looked_at(our: Web) -> None:
    for content in (b"{", b"x" * 2_000_000):
        for token in (None, "nonsense"):
            answer = await our.call("PATCH", "/v1/me", token, content=content)
            check_problem(answer, 401, "bad_token")


@pytest.mark.parametrize("path", ["/v1/auth/login", "/v1/me"])
@pytest.mark.parametrize("name", ["k{}", "{}" + "k" * 300])
async def test_an_answer_tells_of_twenty_fields(our: Web, path: str, name: str) -> None:
    token = (await our.register())["access_token"]
    body = {name.format(number): 1 for number in range(40 if "auth" in path else 3_000)}
    method = "POST" if "auth" in path else "PATCH"
    answer = await our.call(method, path, token, json=body)
    document = check_problem(answer, 422, "unknown_field")
    assert len(document["errors"]) == 20
    assert len(answer.content) < 20_000


async def test_a_few_unknown_fields_are_all_told(our: Web) -> None:
    document = check_problem(await our.post("/v1/auth/login", {"a": 1, "b": 2}), 422, "unknown_field")
    assert {each["field"] for each in document["errors"]} == {"a", "b", "username", "password"}


async def test_a_list_of_nonsense_costs_little(our: Web) -> None:
    token = (await our.register())["access_token"]
    answer = await our.post("/v1/users/query", {"user_ids": [1] * 200_000}, token)
    document = check_problem(answer, 422, "invalid")
    assert len(document["errors"]) <= 20


# --- guessing ---


async def test_one_address_guesses_sixty_times_a_minute_whatever_the_names(our: Web) -> None:
    statuses = Counter([(await login(our, f"nobody{number}", "wrong wrong")).status_code for number in range(70)])
    assert statuses == {401: 60, 429: 10}
    await our.register("ana")
    assert (await login(our, "ana")).status_code == 200


async def test_an_account_is_guessed_at_most_a_hundred_times_an_hour(our: Web) -> None:
    token = (await our.register("ana"))["access_token"]
    statuses: Counter[int] = Counter()
    for _ in range(60):
        for _ in range(10):
            statuses[(await login(our, "ana", "wrong wrong")).status_code] += 1
        body = {"old": "wrong wrong", "new": PASSWORD}
        statuses[(await our.post("/v1/me/password", body, token)).status_code] += 1
        token = (await login(our, "ana")).json().get("access_token", token)
        our.its.clock.advance(60)
    assert statuses[401] <= 100
