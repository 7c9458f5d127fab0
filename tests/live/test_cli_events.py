"""`tidings events` and its kin beside a real server: what analysts do."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.cli.past import as_json, chat_at, inbox_at
from infra.cli.reveal import revealing
from infra.layout import accounts_file, log_file
from infra.log_readers import discards_of
from infra.settings import load_settings
from infra.sqlite.log_reader import SqliteLogReader
from tests.support.caller import PASSWORD, Caller, Newcomers, new_id, newcomers, succeeded
from tests.support.cli import environment, run, started
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


def position_of(user: Caller, chat_id: str, text: str, **more: object) -> str:
    """Where a message now sent stands in the log."""
    body = {"message_id": new_id(), "kind": "TEXT", "text": text, **more}
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
    plan = ben.upload(b"the plan", "plan.txt")
    note(position_of(ben, chat_id, "as agreed", kind="FILE", file_id=plan["file_id"]))
    does(ben, "POST", "/delivered", {"up_to_seq": 6})
    does(ana, "PUT", f"/members/{cleo.user_id}/role", {"role": "admin"})
    does(cleo, "DELETE", f"/members/{ben.user_id}")
    note(position_of(ana, chat_id, "gone already"))

    now = datetime.now(UTC)
    settings = load_settings({"data": server.data})
    discards = discards_of(settings)
    with closing(SqliteLogReader(log_file(server.data))) as reader, revealing(settings, "a test") as revealer:
        for position, told in served:
            past = asyncio.run(chat_at(reader, discards, position, now, chat_id, ana.user_id, 0, revealer.texts))
            shown = json.loads(as_json(past))
            assert shown["chat"] == told["chat"]
            assert shown["messages"] == told["messages"]
            assert shown["receipts"] == told["receipts"]
            assert shown["head_seq"] == told["chat"]["head_seq"]
            inbox = asyncio.run(inbox_at(reader, discards, position, now, ben.user_id, 0, revealer.texts))
            assert json.loads(as_json(inbox))["items"] == told["inbox"]

    [sent] = [message for message in served[-1][1]["messages"] if message["kind"] == "FILE"]
    assert sent["file"]["name"] == "plan.txt"
    last = run(server.data, "at", served[-1][0], "chat", chat_id, "--reveal", "--format", "table").stdout
    assert "[FILE plan.txt, 8 bytes] as agreed" in last
    kept_to_itself = json.loads(run(server.data, "at", served[-1][0], "chat", chat_id).stdout)
    assert "plan.txt" not in json.dumps(kept_to_itself)
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


def test_an_administrator_sees_a_chat_as_it_was(server: Server, newcomer: Newcomers) -> None:
    ana, ben = newcomer.some("ana", "ben")
    chat_id = ana.group(ben)
    then = position_of(ana, chat_id, "before")
    position_of(ana, chat_id, "after")
    path = f"/admin/chats/{chat_id}"
    assert ana.get(path).status_code == 403, "a member, but no administrator"
    name = ben.read("/me")["username"]
    assert run(server.data, "admin", "grant", name).status == 0
    signed_in = newcomer.http.post("/v1/auth/login", json={"username": name, "password": PASSWORD})
    admin = Caller(newcomer.http, succeeded(signed_in, 200))
    now, past = admin.read(path), admin.read(path, as_of=then)
    assert [now["head_seq"], past["head_seq"]] == [3, 2]
    assert past["as_of"] == then
    assert past == json.loads(run(server.data, "at", then, "chat", chat_id).stdout)
    opened = admin.read(path, as_of=then, reveal=True, limit=1)
    assert [message["text"] for message in opened["messages"]] == ["before"]
    assert (admin.user_id, f"chat {chat_id} as of {then}") in [
        (one["who"], one["what"]) for one in lines(run(server.data, "admin", "reveals").stdout)
    ]
    newest = admin.read(path, limit=1)
    assert ([message["seq"] for message in newest["messages"]], newest["has_more"]) == ([3], True)
    assert admin.read(path, limit=1, before_seq=3)["messages"][0]["seq"] == 2
    assert admin.get(path, as_of="yesterday").json()["errors"][0]["field"] == "as_of"
    assert admin.get(path, as_of="-1h").status_code == 404


# --- export and SQL ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(stopped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the demo."""
    out = tmp_path_factory.mktemp("export")
    done = run(stopped, "events", "export", "--out", str(out), "--workers", "1")
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["manifest"] == f"{out}/_manifest.json"
    return out


def asked(stopped: Path, exported: Path, query: str) -> list[dict[str, Any]]:
    done = run(stopped, "sql", query, "--export", str(exported), "--output", "json")
    assert done.status == 0, done.stderr
    return lines(done.stdout)


def test_an_export_answers_as_the_log_does(stopped: Path, exported: Path) -> None:
    printed = lines(run(stopped, "events", "cat").stdout)
    envelopes = asked(stopped, exported, 'select * from events order by partition, "offset"')
    assert [one["position"] for one in envelopes] == [event["position"] for event in printed]
    assert [one["occurred_at"] for one in envelopes] == [event["occurred_at"] for event in printed]
    sent = asked(
        stopped, exported, "select event_id, kind, message_id from message_sent order by appended_at, event_id"
    )
    assert {one["message_id"] for one in sent} == {
        event["data"]["message_id"] for event in printed if event["type"] == "message.sent"
    }
    made = asked(stopped, exported, "select title, member_ids, \"open\" from chat_created where kind = 'group'")
    assert all(isinstance(one["member_ids"], list) and one["open"] in (True, False) for one in made)
    by_hour = "select date_trunc('hour', occurred_at) as hour, count(*) as n from events group by 1"
    assert sum(one["n"] for one in asked(stopped, exported, by_hour)) == len(printed)
    assert asked(stopped, exported, "select * from unreadable") == []


def test_the_log_itself_can_be_asked(stopped: Path, exported: Path) -> None:
    query = "select type, count(*) as n from events group by type order by type"
    straight = run(stopped, "sql", query, "--output", "json")
    assert straight.status == 0, straight.stderr
    assert lines(straight.stdout) == asked(stopped, exported, query)


def test_answers_come_in_the_form_asked_for(stopped: Path, exported: Path, tmp_path: Path) -> None:
    query = "select 1 as n, 'two' as word, [1, 2] as list, timestamp '2026-03-01 12:00:00' as at, null as nothing"
    forms = {
        style: subprocess.run(
            [sys.executable, "-m", "infra.cli", "sql", query, "--export", str(exported), "--output", style],
            env=environment(stopped),
            capture_output=True,
            check=True,
        ).stdout
        for style in ("table", "csv", "json", "parquet")
    }
    assert forms["table"].decode().splitlines()[2].split() == ["1", "two", "[1,", "2]", "2026-03-01T12:00:00"]
    names, row = forms["csv"].decode().splitlines()
    assert names == '"n","word","list","at","nothing"'
    assert row.startswith('1,"two","[1, 2]",2026-03-01 12:00:00')
    assert json.loads(forms["json"]) == {
        "n": 1,
        "word": "two",
        "list": [1, 2],
        "at": "2026-03-01T12:00:00",
        "nothing": None,
    }
    (tmp_path / "answer.parquet").write_bytes(forms["parquet"])
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist()[0]["word"] == "two"


def test_what_cannot_be_asked_or_exported_is_said_so(stopped: Path, exported: Path, tmp_path: Path) -> None:
    wrong = run(stopped, "sql", "select nothing from nowhere", "--export", str(exported))
    assert (wrong.status, wrong.stdout) == (2, "")
    assert "nowhere" in wrong.stderr
    none = run(stopped, "sql", "select 1", "--export", str(tmp_path))
    assert none.status == 1
    assert "tidings events export" in none.stderr
    since = run(stopped, "events", "export", "--out", str(tmp_path), "--since-manifest")
    assert since.status == 1
    assert "export once without" in since.stderr
    again = run(stopped, "events", "export", "--out", str(exported), "--since-manifest", "--workers", "1")
    assert again.status == 0, again.stderr
    elsewhere = run(
        stopped, "events", "export", "--out", str(tmp_path), "--since-manifest", str(exported / "_manifest.json")
    )
    assert json.loads(elsewhere.stdout)["events"] == 0


# --- replay --------------------------------------------------------------------------------------------------


def test_a_replay_makes_the_same_log_elsewhere(stopped: Path, tmp_path: Path) -> None:
    into = f"file://{tmp_path}/again"
    replay = ("events", "replay", "--into", into, "--speed", "max")
    dry = run(stopped, *replay, "--dry-run")
    assert not (tmp_path / "again").exists()
    done = run(stopped, *replay)
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["records"] == json.loads(dry.stdout)["records"] > 30
    ours, theirs = (lines(run(data, "events", "cat").stdout) for data in (stopped, tmp_path / "again"))
    for event in (*ours, *theirs):
        del event["appended_at"]
    assert ours == theirs
    assert run(stopped, *replay).status == 2, "there is a log by now"


def test_a_replay_tells_a_url_line_by_line(stopped: Path) -> None:
    got: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Listener) as listening:
        thread = Thread(target=listening.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.server_port}/events"
            done = run(stopped, "events", "replay", "--into", url, "--speed", "max", "--from", "0:5", "--to", "0:15")
        finally:
            listening.shutdown()
            thread.join()
    assert done.status == 0, done.stderr
    assert lines(b"".join(got).decode()) == lines(
        run(stopped, "events", "cat", "--from", "0:5", "--limit", "10").stdout
    )


@pytest.mark.parametrize("into", ["chat-events", "kafka://127.0.0.1:9/chat-events", "scratch", "ftp://host/x"])
def test_a_replay_into_what_is_live_or_nowhere_is_refused(stopped: Path, into: str) -> None:
    done = run(stopped, "events", "replay", "--into", into, "--dry-run")
    assert (done.status, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_replay_into_its_own_folder_is_refused(stopped: Path) -> None:
    done = run(stopped, "events", "replay", "--into", f"file://{stopped}")
    assert done.status == 2
    assert "has a log already" in done.stderr


def test_the_log_is_counted(stopped: Path) -> None:
    told = json.loads(run(stopped, "stats", "--format", "json").stdout)
    printed = lines(run(stopped, "events", "cat").stdout)
    assert told["events"] == sum(told["types"].values()) == len(printed)
    assert told["active_users"] == len({event["actor_id"] for event in printed})
    assert run(stopped, "stats").stdout.startswith(f"{len(printed)} events")


def test_a_read_model_is_folded_beside_the_log(left: Path) -> None:
    assert run(left, "models", "fold", "activity").status == 0
    [today, *_] = shown = lines(run(left, "models", "show", "activity").stdout)
    sent = [event for event in lines(run(left, "events", "cat").stdout) if event["type"] == "message.sent"]
    days = {event["occurred_at"][:10] for event in sent}
    assert {row["day"] for row in shown} == days
    first = [event for event in sent if event["occurred_at"].startswith(today["day"])]
    assert today["active_users"] == len({event["actor_id"] for event in first})
    assert run(left, "models", "fold", "nothing").status == 2
