"""`tidings events` and its kin beside a real server: what analysts do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from infra.layout import accounts_file
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
