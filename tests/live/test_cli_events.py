"""`tidings events` and its kin beside a real server: what analysts do."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.cli.past import as_json, chat_at, inbox_at
from infra.cli.reveal import revealing
from infra.layout import accounts_file, log_file
from infra.settings import load_settings
from infra.sqlite.log_reader import SqliteLogReader
from tests.support.caller import Caller, Newcomers, new_id, newcomers, succeeded
from tests.support.cli import run, started
from tests.support.server import Server


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def newcomer(server: Server) -> Iterator[Newcomers]:
    with newcomers(server.url) as newcomer:
        yield newcomer


@pytest.fixture
def ana(newcomer: Newcomers) -> Caller:
    return newcomer("ana")


def position_of(user: Caller, chat_id: str, text: str) -> str:
    """Where a message now sent stands in the log."""
    body = {"message_id": new_id(), "kind": "TEXT", "text": text}
    position: str = succeeded(user.post(f"/chats/{chat_id}/messages", body), 201)["position"]
    return position


def test_cat_ends_by_itself_and_takes_a_span(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    places = [position_of(ana, chat_id, "one of five") for _ in range(5)]
    whole = lines(run(server.data, "events", "cat", "--chat", chat_id).stdout)
    assert [event["type"] for event in whole] == ["chat.created", *["message.sent"] * 5]
    some = run(server.data, "events", "cat", "--chat", chat_id, "--from", places[1], "--until", places[3])
    assert [event["position"] for event in lines(some.stdout)] == places[1:3]
    since = run(server.data, "events", "cat", "--chat", chat_id, "--from", "-1h", "--type", "chat.created")
    assert len(lines(since.stdout)) == 1
    with started(server.data, "events", "tail", "--from", places[0], "--until", places[2], "--chat", chat_id) as tail:
        assert [json.loads(tail.line())["position"] for _ in range(2)] == places[:2]
        assert tail.end() == (0, "", "")
    columns = run(server.data, "events", "cat", "--chat", chat_id, "--format", "table").stdout.splitlines()
    assert columns[0].split() == ["POSITION", "APPENDED", "TYPE", "CHAT", "ACTOR", "DATA"]
    assert "(sealed," in columns[2]


def test_bodies_open_for_those_who_say_so_and_that_is_noted(server: Server, newcomer: Newcomers) -> None:
    ana, ben = newcomer.some("ana", "ben")
    chat_id = ana.group(ben, open=True)
    ana.say(chat_id, "see you at nine")
    ben.say(chat_id, "forget me")
    masked = run(server.data, "events", "cat", "--chat", chat_id)
    assert "see you" not in masked.stdout
    ben.erase()
    done = run(server.data, "events", "cat", "--chat", chat_id, "--reveal", "--type", "message.sent")
    texts = [(event["data"]["text"], event["data"].get("erased")) for event in lines(done.stdout)]
    assert texts == [("see you at nine", None), (None, True)]
    assert "this is noted" in done.stderr
    noted = lines(run(server.data, "admin", "reveals").stdout)
    assert chat_id in noted[-1]["what"]
    assert "@" in noted[-1]["who"]


def test_nothing_opens_where_it_cannot_be_noted(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    ana.say(chat_id, "see you at nine")
    with closing(sqlite3.connect(accounts_file(server.data))) as db:
        db.execute("ALTER TABLE reveals RENAME TO gone")
        try:
            done = run(server.data, "events", "cat", "--chat", chat_id, "--reveal")
        finally:
            db.execute("ALTER TABLE gone RENAME TO reveals")
    assert done.status == 1
    assert done.stdout == ""


# --- time travel ---------------------------------------------------------------------------------------------


def test_a_chat_is_shown_as_it_was_served_at_each_position(server: Server, newcomer: Newcomers) -> None:
    ana, ben, cleo = newcomer.some("ana", "ben", "cleo")
    chat_id = ana.group(ben, title="Tea", history="since_join")
    other = ben.group(title="Elsewhere")
    served: list[tuple[str, dict[str, Any]]] = []

    def note(position: str) -> None:
        """What the server tells Ana and Ben once its views have this position."""
        told = {
            "chat": ana.chat(chat_id),
            "messages": ana.read(f"/chats/{chat_id}/messages")["items"],
            "receipts": ana.read(f"/chats/{chat_id}/receipts")["items"],
            "inbox": ben.read("/chats")["items"],
        }
        served.append((position, told))

    def does(user: Caller, method: str, path: str, body: object = None) -> None:
        answer = succeeded(user.call(method, f"/chats/{chat_id}{path}", body))
        note(answer["position"])

    note(position_of(ana, chat_id, "milk or lemon?"))
    note(position_of(ben, chat_id, "lemon"))
    does(ana, "POST", "/read", {"up_to_seq": 3})
    does(ana, "PATCH", "", {"title": "Tea at nine"})
    does(ana, "POST", "/members", {"user_ids": [cleo.user_id]})
    note(position_of(cleo, chat_id, "me too"))
    note(position_of(ben, other, "somewhere else"))
    does(ben, "POST", "/delivered", {"up_to_seq": 6})
    does(ana, "PUT", f"/members/{cleo.user_id}/role", {"role": "admin"})
    does(cleo, "DELETE", f"/members/{ben.user_id}")
    note(position_of(ana, chat_id, "gone already"))

    now = datetime.now(UTC)
    settings = load_settings({"data": server.data})
    with closing(SqliteLogReader(log_file(server.data))) as reader, revealing(settings, "a test") as revealer:
        for position, told in served:
            past = asyncio.run(chat_at(reader, position, now, chat_id, ana.user_id, 0, revealer.texts))
            shown = json.loads(as_json(past))
            assert shown["chat"] == told["chat"]
            assert shown["messages"] == told["messages"]
            assert shown["receipts"] == told["receipts"]
            assert shown["head_seq"] == told["chat"]["head_seq"]
            inbox = asyncio.run(inbox_at(reader, position, now, ben.user_id, 0, revealer.texts))
            assert json.loads(as_json(inbox))["items"] == told["inbox"]

    position, told = served[4]
    everybody = json.loads(run(server.data, "at", position, "chat", chat_id).stdout)
    assert everybody["chat"] == {**told["chat"], "me": None}
    assert {mark["user_id"] for mark in everybody["receipts"]} == {ana.user_id, ben.user_id, cleo.user_id}
    assert everybody["unread"] == {ana.user_id: 0, ben.user_id: 0, cleo.user_id: 0}
    assert all(message["text"].startswith("(sealed, ") for message in everybody["messages"])
    assert everybody["messages"][0]["status"] is None
    columns = run(server.data, "at", position, "chat", chat_id, "--format", "table", "--limit", "1").stdout
    assert "Tea at nine" in columns
    assert "(sealed, " in columns.splitlines()[-1]


def test_a_chat_that_was_not_yet_there_is_not_shown(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    done = run(server.data, "at", "-1h", "chat", chat_id)
    assert (done.status, done.stdout) == (1, "")
    assert "no such chat then" in done.stderr
    assert run(server.data, "at", "yesterday", "chat", chat_id).status == 2
    assert json.loads(run(server.data, "at", "-1h", "inbox", ana.user_id).stdout) == {"items": []}
    assert json.loads(run(server.data, "at", "end", "chat", chat_id).stdout)["head_seq"] == 1
