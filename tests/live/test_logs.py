"""Whatever happens in a server that logs everything, no body of a message, token or password is in its log."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.live.conftest import MakeServer
from tests.support.caller import PASSWORD, Caller, new_id, newcomers
from tests.support.line import Line
from tests.support.server import Server

pytestmark = pytest.mark.timeout(90)

SECRET = "nobody may log this"


async def test_bodies_and_tokens_stay_out_of_the_log(make_server: MakeServer) -> None:
    server = make_server({"TIDINGS_LOG_LEVEL": "debug", "TIDINGS_LOG_FORMAT": "json", "TIDINGS_NODE": "one"}).start()
    with newcomers(server.url) as made:
        ana, ben = made("ana"), made("ben")
        token = ana.token
        chat_id = ana.direct(ben)
        ana.say(chat_id, SECRET)
        _trouble_over_http(ana, chat_id)
        _trouble_with_sql(server, ana)
        ana.token = token[:-3]
        assert ana.call("GET", "/me", headers={"X-Request-ID": "look-me-up"}).status_code == 401
    await _trouble_on_a_socket(server, token, chat_id)
    server.stop()

    lines = [line for line in server.printed(10_000_000).splitlines() if line.startswith("{")]
    entries = [json.loads(line) for line in lines]
    assert {entry["node"] for entry in entries} == {"one"}
    (found,) = [entry for entry in entries if entry.get("request_id") == "look-me-up"]
    assert found["message"] == "GET /v1/me: 401"
    assert any("SQL is away" in entry["message"] for entry in entries)
    assert any("/v1/chats/{chat_id}/messages" in entry["message"] for entry in entries)
    printed = server.printed(10_000_000)
    for unwanted in (SECRET, PASSWORD, token, token.split(".")[1], "tdr_"):
        assert unwanted not in printed


def _trouble_over_http(ana: Caller, chat_id: str) -> None:
    path = f"/chats/{chat_id}/messages"
    good = {"message_id": new_id(), "kind": "TEXT", "text": SECRET}
    for body in (
        {**good, "kind": SECRET},
        {**good, "message_id": SECRET},
        {**good, "reply_to_message": SECRET},
        {**good, SECRET: 1},
        {**good, "text": [SECRET]},
        SECRET,
    ):
        assert ana.post(path, body).status_code in (400, 404, 422)
    broken = ana.call(
        "POST", path, content=b'{"text": "' + SECRET.encode(), headers={"Content-Type": "application/json"}
    )
    assert broken.status_code == 400
    assert ana.get("/users", query=SECRET).status_code == 200
    assert ana.post("/me/password", {"old": SECRET, "new": SECRET}).status_code in (401, 403, 422)


def _trouble_with_sql(server: Server, ana: Caller) -> None:
    other = sqlite3.connect(server.data / "accounts.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        assert ana.call("PATCH", "/me", {"display_name": SECRET}).status_code == 503
    finally:
        other.close()


async def _trouble_on_a_socket(server: Server, token: str, chat_id: str) -> None:
    line = await Line.open(server)
    await line.connect(token)
    message = {"chat_id": chat_id, "message_id": new_id(), "kind": "TEXT", "text": SECRET}
    assert (await line.ask("send", **message))["type"] == "ack"
    for wrong in ({"kind": SECRET}, {"message_id": SECRET}, {"reply_to_message": SECRET}, {"nonsense": SECRET}):
        assert (await line.ask("send", **{**message, **wrong}))["type"] == "error"
    line.say("auth", id="a", token=token + "x")
    assert await line.closed() == 4401
    line.hang_up()
