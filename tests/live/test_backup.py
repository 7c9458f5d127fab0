"""A backup is taken while people chat, and brings back what was served; nobody who was erased comes back with it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.layout import MASTER_KEY, accounts_file, log_file
from tests.live.conftest import MakeServer
from tests.support.caller import PASSWORD, Caller, Json, new_id, newcomers, succeeded
from tests.support.cli import Done, run
from tests.support.server import Server


def signed_in(http: httpx.Client, username: str) -> Caller:
    answer = http.post("/v1/auth/login", json={"username": username, "password": PASSWORD})
    return Caller(http, succeeded(answer))


def events_of(reader: Caller, chat_id: str) -> list[Json]:
    events: list[Json] = []
    while True:
        page = reader.read(f"/chats/{chat_id}/events", after_seq=len(events), limit=200)
        events += page["items"]
        if not page["has_more"]:
            return events


def restored(data: Path, backup: Path, key: Path, *more: str) -> Done:
    data.mkdir(parents=True, exist_ok=True)
    shutil.copy(key, data / MASTER_KEY)
    return run(data, "restore", str(backup), "--json", *more)


@pytest.mark.timeout(240)
def test_what_was_served_comes_back_and_nobody_who_was_erased(make_server: MakeServer, tmp_path: Path) -> None:
    server, again = make_server().start(), make_server()
    backup, later = tmp_path / "backup", tmp_path / "destroyed.ndjson"
    with newcomers(server.url) as made:
        ana, ben, cleo, dan = made(), made(), made(), made()
        name = ben.read("/me")["username"]
        room, quiet = ana.group(ben, cleo, dan), ana.group(ben, title="Quiet")
        for who in (ana, ben, cleo, dan):
            who.say(room, f"by {who.user_id}")
        said = dan.say(room, "a secret")["message_id"]
        ben.say(quiet, "kept")
        cleo.erase()
        out = during_talk(ana, room, lambda: run(server.data, "backup", str(backup), "--json").stdout)
        ana.say(room, "after the backup")
        dan.erase()
        later.write_text(run(server.data, "admin", "destroyed").stdout)
        served = {chat_id: events_of(ben, chat_id) for chat_id in (room, quiet)}
        inbox = ben.read("/chats")
    told = json.loads(out)
    assert (told["users"], told["destroyed"]) == (3, 1)
    done = restored(again.data, backup, server.data / MASTER_KEY, "--destroyed", str(later))
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["erased_again"] == 1
    again.start()
    with httpx.Client(base_url=again.url, timeout=30, trust_env=False) as http:
        ben = signed_in(http, name)
        assert events_of(ben, quiet) == served[quiet]
        shown = [each for each in events_of(ben, room) if each["event"]["type"] != "member.left"]
        assert len(shown) > 6
        # Erased again, Dan leaves the room again: all before that is as it was served, his words erased as well.
        assert shown == [each for each in served[room] if each["event"]["type"] != "member.left"][: len(shown)]
        assert "after the backup" not in json.dumps(shown)
        message = ben.read(f"/chats/{room}/messages/{said}")["message"]
        assert (message["text"], message["erased"]) == (None, True)
        assert {each["chat"]["chat_id"] for each in ben.read("/chats")["items"]} == {
            each["chat"]["chat_id"] for each in inbox["items"]
        }
        assert sorted(ben.roles(room)) == sorted({ana.user_id, ben.user_id})
        assert ben.say(room, "we go on", message_id=new_id())["status"] == "SENT"
    assert again.stop() == 0
    hashed = json.loads(run(again.data, "projections", "hash", "--rebuild", "--json").stdout)
    assert hashed["sha256"] == hashed["rebuilt"]
    assert [json.loads(line)["user_id"] for line in run(again.data, "admin", "destroyed").stdout.splitlines()] == [
        cleo.user_id,
        dan.user_id,
    ]


def during_talk(talker: Caller, chat_id: str, work: Callable[[], str]) -> str:
    """Do something while somebody writes all the time."""
    stopping, spoke = threading.Event(), threading.Event()

    def talk() -> None:
        while not stopping.is_set():
            talker.say(chat_id, "and so on", message_id=new_id())
            spoke.set()

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        assert spoke.wait(10)
        return work()
    finally:
        stopping.set()
        thread.join()


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, stopped: Path) -> Path:
    """A backup of a demo that does not run; nobody may change it."""
    folder = tmp_path_factory.mktemp("taken") / "backup"
    done = run(stopped, "backup", str(folder))
    assert done.status == 0, done.stderr
    assert "5 users, 45 events" in done.stdout
    return folder


def test_without_a_list_who_left_chats_erased_by_the_log_stays_erased(server: Server, tmp_path: Path) -> None:
    """As where the log is newer than the accounts: here the accounts of before are put under the log of after."""
    with newcomers(server.url) as made:
        ana, ben = made(), made()
        ana.direct(ben)
        assert run(server.data, "backup", str(tmp_path / "before")).status == 0
        ana.erase()
        assert run(server.data, "backup", str(tmp_path / "after")).status == 0
    before, after = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("before", "after"))
    shutil.copy(tmp_path / "after" / "log.db", tmp_path / "before")
    parts = {each["name"]: each for each in after["files"]}
    before["files"] = [parts["log.db"] if each["name"] == "log.db" else each for each in before["files"]]
    (tmp_path / "before" / "manifest.json").write_text(json.dumps(before))
    done = restored(tmp_path / "new", tmp_path / "before", server.data / MASTER_KEY)
    assert json.loads(done.stdout)["erased_again"] == 1, done.stderr


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: flip(folder / "log.db"), "log.db is damaged"),
        (lambda folder: flip(folder / "accounts.db"), "accounts.db is damaged"),
        (lambda folder: (folder / "accounts.db").unlink(), "accounts.db is missing"),
        (lambda folder: (folder / "destroyed.ndjson").write_text("{}\n"), "is no list of destroyed keys"),
        (lambda folder: (folder / "destroyed.ndjson").write_text(" "), "destroyed.ndjson is damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "it is no backup, or one that was not finished"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json cannot be read"),
    ],
)
def test_a_damaged_backup_is_refused_whole(taken: Path, stopped: Path, tmp_path: Path, harm: Any, says: str) -> None:
    folder = tmp_path / "backup"
    shutil.copytree(taken, folder)
    harm(folder)
    done = restored(tmp_path / "new", folder, stopped / MASTER_KEY)
    assert done.status == 1
    assert says in done.stderr
    assert not log_file(tmp_path / "new").exists()
    assert not accounts_file(tmp_path / "new").exists()


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_nothing_is_ever_overwritten(taken: Path, stopped: Path, tmp_path: Path) -> None:
    again = run(stopped, "backup", str(taken))
    assert again.status == 1
    assert "backups are never overwritten" in again.stderr
    onto = run(stopped, "restore", str(taken))
    assert onto.status == 1
    assert "nothing is ever overwritten" in onto.stderr
    assert restored(tmp_path / "new", taken, stopped / MASTER_KEY).status == 0
    assert "is not empty" in restored(tmp_path / "new", taken, stopped / MASTER_KEY).stderr


def test_the_master_key_is_needed_and_must_be_the_right_one(taken: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert "put the master key" in run(tmp_path / "new", "restore", str(taken)).stderr
    (tmp_path / MASTER_KEY).write_text("11" * 32)
    assert "another master key" in restored(tmp_path / "new", taken, tmp_path / MASTER_KEY).stderr
    assert not accounts_file(tmp_path / "new").exists()


def test_where_there_is_nothing_to_back_up_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = run(tmp_path / "data", "backup", str(tmp_path / "backup"))
    assert done.status == 1
    assert "there are no accounts in" in done.stderr
    assert not (tmp_path / "backup").exists()
