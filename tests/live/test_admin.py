"""The routes of operators: for administrators alone, and refused where they make no sense."""

from __future__ import annotations

import httpx
import pytest

from tests.support.caller import PASSWORD, Caller, Newcomers, newcomers, succeeded
from tests.support.server import Server

pytestmark = pytest.mark.timeout(120)

LETTER = "/admin/dead-letters/0190163d-8694-739b-aea5-966c26f8ad91"
READ = ["/admin/overview", "/admin/dead-letters"]
CHANGE = [
    "/admin/generations",
    "/admin/rollback",
    *(f"/admin/generations/2/{action}" for action in ("verify", "drop", "pause", "resume")),
    f"{LETTER}/retry",
]


def administrator(server: Server, made: Newcomers) -> Caller:
    """A user who was given the role, and signed in again: tokens tell of it from then on."""
    caller = made("ops")
    username = caller.read("/me")["username"]
    server.tidings("admin", "grant", username)
    body = {"username": username, "password": PASSWORD}
    return Caller(made.http, succeeded(made.http.post("/v1/auth/login", json=body)))


def test_only_administrators_are_let_in(server: Server) -> None:
    with newcomers(server.url) as made:
        ana = made("ana")
        for method, path in [*(("GET", path) for path in READ), *(("POST", path) for path in CHANGE)]:
            answer = ana.call(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
            assert httpx.request(method, f"{server.url}/v1{path}").status_code == 401, path
        body = {"accept_differences": False}
        assert ana.post("/admin/generations/2/switch", body).status_code == 403
        assert ana.post(f"{LETTER}/discard", {"position": "0:1"}).status_code == 403


def test_the_overview_tells_of_the_log_the_views_and_the_process(server: Server) -> None:
    with newcomers(server.url) as made:
        ops, ana, ben = administrator(server, made), made(), made()
        ana.say(ana.direct(ben))
        told = ops.read("/admin/overview")
    (partition,) = told["partitions"]
    assert partition["partition"] == 0
    assert partition["end"] >= 2
    (generation, *_) = told["generations"]
    assert (generation["generation"], generation["state"], generation["parked_chats"]) == (1, "served", 0)
    assert generation["end"] >= partition["end"]
    (process,) = told["processes"]
    assert (process["kind"], process["partitions"]) == ("serve", [0])
    assert {each["name"] for each in told["dependencies"]} >= {"accounts", "log", "views"}
    assert told["previous"] is None


def test_what_cannot_be_is_refused(server: Server) -> None:
    with newcomers(server.url) as made:
        ops = administrator(server, made)
        for path in ("/admin/generations/0/verify", "/admin/generations/x/drop", "/admin/generations/99999999999/drop"):
            assert ops.post(path).status_code == 422, path
        assert ops.post("/admin/dead-letters/--help/retry").status_code == 404
        assert ops.post("/admin/dead-letters/--help/discard", {"position": "0:1"}).status_code == 404
        nothing = ops.post(f"{LETTER}/discard", {"position": "--help"})
        assert (nothing.status_code, nothing.json()["code"]) == (409, "conflict")
        assert ops.post(f"{LETTER}/discard").status_code == 422
        assert ops.post("/admin/generations/2/switch", {"accept_differences": "yes"}).status_code == 422
        assert ops.read("/admin/dead-letters") == {"items": []}


def test_operators_too_have_a_limit(server: Server) -> None:
    with newcomers(server.url) as made:
        ops = administrator(server, made)
        answers = [ops.get("/admin/dead-letters") for _ in range(100)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "rate_limited"
    assert int(refused[0].headers["Retry-After"]) >= 1
