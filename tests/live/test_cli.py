"""The command line beside a real server, and on what a server left."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from infra.layout import MASTER_KEY, log_file, views_file
from tests.support.caller import Caller, new_id
from tests.support.cli import Done, run, started
from tests.support.server import QUICK, Server

PASSWORD = "correct horse"
SERVE = ("serve", "--port", "0")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def register(http: httpx.Client, username: str | None = None) -> dict[str, Any]:
    """A new user's name is the end of a fresh id, if none is given."""
    username = username or f"u{new_id()[-12:]}"
    answer = http.post("/v1/auth/register", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    signed_in: dict[str, Any] = answer.json()
    return signed_in


@pytest.fixture
def ana(http: httpx.Client) -> Caller:
    return Caller(http, register(http))


def say(user: Caller, chat_id: str, text: str = "hello") -> str:
    """The position of a message sent."""
    body = {"message_id": new_id(), "kind": "TEXT", "text": text}
    answer = user.post(f"/chats/{chat_id}/messages", body)
    assert answer.status_code == 201, answer.text
    position: str = answer.json()["position"]
    return position


# --- starting and stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_address_and_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "made on the way" / "data"
    with started(data, *SERVE) as serving:
        url = serving.line()
        with httpx.Client(base_url=url) as client:
            register(client)
        status, out, err = serving.end(number)
    assert (status, out) == (0, "")
    assert "Traceback" not in err
    assert not list(data.glob("*-wal")), "a write-ahead log was left: the databases were not closed"


def one_line(done: Done, status: int, *says: str) -> None:
    """The command ended with this status and one line on stderr, which says all of this."""
    assert done.status == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("tidings: ")
    for each in says:
        assert each in done.stderr


def test_a_served_directory_is_refused_with_the_process_that_serves_it(server: Server) -> None:
    one_line(run(server.data, *SERVE), 1, f"is served by process {server.pid}", "--data DIR")


def test_a_taken_port_is_refused(server: Server, tmp_path: Path) -> None:
    one_line(run(tmp_path, "serve", "--port", str(server.port)), 1, f":{server.port}", "in use", "--port")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"TIDINGS_PORT": "eighty"}, "TIDINGS_PORT"),
        ({"TIDINGS_MASTER_KEY": "short"}, "TIDINGS_MASTER_KEY: 32 bytes or more"),
        ({"TIDINGS_CORS_ORIGINS": "chat.example"}, "TIDINGS_CORS_ORIGINS: 'chat.example' is not an origin"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    one_line(run(tmp_path, "serve", settings=settings), 2, "bad settings", says)


def test_the_demo_does_not_listen_to_the_network(tmp_path: Path) -> None:
    one_line(run(tmp_path, *SERVE, "--demo", "--host", "0.0.0.0"), 2, "--demo", "--host 127.0.0.1")
    assert not any(tmp_path.iterdir())


def test_without_its_master_key_an_installation_does_not_start(left: Path) -> None:
    (left / MASTER_KEY).unlink()
    one_line(run(left, *SERVE), 1, "master.key is missing", "put it back")
    key = {"TIDINGS_MASTER_KEY": "00" * 32}
    one_line(run(left, *SERVE, settings=key), 1, "another master key")


def test_views_of_another_log_are_not_served(left: Path) -> None:
    with closing(sqlite3.connect(log_file(left))) as db:
        db.execute("UPDATE log_meta SET value = 'another' WHERE name = 'incarnation'")
        db.commit()
    one_line(run(left, *SERVE), 1, "was folded from the log", "remove the views-*.db files")


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    one_line(run(tmp_path / "data", *SERVE), 1, "data", "--data DIR")


# --- the demo ------------------------------------------------------------------------------------------------


def test_the_demos_address_signs_each_of_two_users_in_once(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with started(tmp_path, *SERVE, "--demo") as serving:
            address = urlsplit(serving.line())
            codes = {name: code for name, [code] in parse_qs(address.fragment).items()}
            with httpx.Client(base_url=f"http://{address.netloc}") as client:
                assert client.get(address.path).status_code == 200
                for name, code in codes.items():
                    answer = client.post("/v1/demo/login", json={"code": code})
                    user = answer.json()["user"]
                    assert (user["username"], user["display_name"]) == (name, name.title())
                    inbox = Caller(client, answer.json()).read("/chats")["items"]
                    seen.append((user["user_id"], [item["chat"]["chat_id"] for item in inbox]))
                    assert len(inbox) >= 3
                    assert any(item["unread"] for item in inbox)
                    assert client.post("/v1/demo/login", json={"code": code}).status_code == 401
            serving.end(signal.SIGTERM)
    assert seen[:2] == seen[2:], "the second start made other users or chats"
    assert list(codes) == ["ana", "ben"]


def test_scripted_users_chat_with_whom_they_are_told_to(server: Server, ana: Caller) -> None:
    username = ana.read("/me")["username"]
    done = run(server.data, "demo", "--url", server.url, "--messages", "30", "--rate", "100", "--with", username)
    assert done.status == 0, done.stderr
    assert done.stdout == ""
    assert f"with {username}" in done.stderr
    assert "30 messages in" in done.stderr.splitlines()[-1]
    assert "refused" not in done.stderr
    inbox = ana.read("/chats")["items"]
    assert {item["chat"]["kind"] for item in inbox} == {"group", "direct"}
    assert sum(item["unread"] for item in inbox) > 0


def test_scripted_users_say_what_is_wrong(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        free = deaf.getsockname()[1]
    one_line(run(tmp_path, "demo", "--url", f"http://127.0.0.1:{free}"), 1, "no Tidings answers", "--url")
    nobody = run(tmp_path, "demo", "--url", server.url, "--users", "2", "--with", "nobody-of-that-name")
    assert nobody.status == 1
    assert "there is no user nobody-of-that-name" in nobody.stderr


# --- the log -------------------------------------------------------------------------------------------------


def test_the_log_is_followed_while_it_is_written(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    with started(server.data, "events", "tail", "--from", "start", "--chat", chat_id) as tail:
        assert json.loads(tail.line())["type"] == "chat.created"
        for _ in range(3):
            position = say(ana, chat_id, "nobody reads this in the log")
            event = json.loads(tail.line())
            assert event["position"] == position
            assert event["actor_id"] == ana.user_id
            assert event["data"]["body"].startswith("(sealed, ")
        status, out, err = tail.end(signal.SIGINT)
    assert (status, out, err) == (130, "", "")


def test_following_from_the_end_shows_what_comes_later(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    before = [say(ana, chat_id) for _ in range(2)]
    with started(server.data, "events", "tail", "--from", before[1], "--limit", "2", "--user", ana.user_id) as tail:
        assert json.loads(tail.line())["position"] == before[1]
        after = say(ana, chat_id)
        assert json.loads(tail.line())["position"] == after
        assert tail.end() == (0, "", "")
    rest = run(server.data, "events", "tail", "--from", "end", "--no-follow", "--chat", chat_id)
    assert (rest.status, rest.stdout, rest.stderr) == (0, "", "")


def test_the_whole_log_is_printed_and_filtered(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    say(ana, chat_id)
    whole = lines(run(server.data, "events", "tail", "--from", "start", "--no-follow").stdout)
    offsets = [int(event["position"].partition(":")[2]) for event in whole]
    assert offsets == list(range(len(offsets)))
    username = ana.read("/me")["username"]
    sent = run(
        server.data, "events", "tail", "--from", "start", "--no-follow", "--type", "message.sent", "--user", username
    )
    assert [event["chat_id"] for event in lines(sent.stdout)] == [chat_id]


def test_when_nobody_reads_any_more_the_tail_ends_though_nothing_happens(server: Server, ana: Caller) -> None:
    ana.group()
    with started(server.data, "events", "tail", "--from", "start", "--user", ana.user_id) as tail:
        assert tail.line()
        tail.stdout.close()
        assert tail.process.wait(timeout=30) == 0
        assert tail.process.stderr is not None
        assert tail.process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "yesterday"), "no place in the log"),
        (("--until", "9:0"), "no partition 9"),
        (("--type", "message.eaten"), "no event type message.eaten; it is one of chat.created"),
        (("--user", "nobody-of-that-name"), "no user nobody-of-that-name"),
    ],
)
def test_a_wrong_question_is_answered_so(server: Server, arguments: tuple[str, ...], says: str) -> None:
    done = run(server.data, "events", "tail", *arguments)
    one_line(done, done.status or -1, says)


def test_without_a_log_it_says_where_it_looked(tmp_path: Path) -> None:
    one_line(run(tmp_path, "events", "tail"), 1, f"no log in {tmp_path}", "TIDINGS_DATA")


# --- what a stopped server left ------------------------------------------------------------------------------


def test_the_log_is_printed_when_nobody_serves_it(stopped: Path) -> None:
    printed = lines(run(stopped, "events", "tail", "--from", "start", "--no-follow").stdout)
    assert printed[0]["type"] == "chat.created"
    assert len(printed) > 30


def test_a_broken_record_is_printed_with_what_is_wrong(left: Path) -> None:
    with closing(sqlite3.connect(log_file(left))) as db:
        db.execute("UPDATE records SET value = ? WHERE place = 3", (b"{broken",))
        db.commit()
    printed = lines(run(left, "events", "tail", "--from", "0:2", "--no-follow", "--limit", "3").stdout)
    assert [event["position"] for event in printed] == ["0:2", "0:3", "0:4"]
    assert ["error" in event for event in printed] == [False, True, False]


def test_views_hash_the_same_as_a_rebuild(stopped: Path) -> None:
    done = run(stopped, "projections", "hash", "--rebuild")
    assert done.status == 0, done.stderr
    served, rebuilt = done.stdout.splitlines()
    assert rebuilt == f"{served.split()[0]}  rebuilt from the log: the same"
    hashed = json.loads(run(stopped, "projections", "hash", "--json").stdout)
    assert served.startswith(f"{hashed['sha256']}  {hashed['rows']} rows at 0:{hashed['positions']['0']}")
    assert hashed["rebuilt"] is None


def test_views_that_somebody_changed_are_found_out(left: Path) -> None:
    with closing(sqlite3.connect(views_file(left))) as db:
        db.execute("UPDATE timeline SET actor_id = 'somebody' WHERE place = (SELECT max(place) FROM timeline)")
        db.commit()
    done = run(left, "projections", "hash", "--rebuild", "--json")
    assert done.status == 1
    found = json.loads(done.stdout)
    assert found["same"] is False
    assert found["sha256"] != found["rebuilt"]
    served, rebuilt = found["difference"]
    assert "'somebody'" in served
    assert served.startswith("('timeline', ")
    assert rebuilt.startswith("('timeline', ")


def test_views_of_another_log_are_not_compared(left: Path) -> None:
    with closing(sqlite3.connect(log_file(left))) as db:
        db.execute("UPDATE log_meta SET value = 'another' WHERE name = 'incarnation'")
        db.commit()
    one_line(run(left, "projections", "hash"), 1, "but this one is another")


def test_views_beyond_the_logs_end_are_not_compared(left: Path) -> None:
    with closing(sqlite3.connect(log_file(left))) as db:
        db.execute("DELETE FROM records WHERE place > 9")
        db.commit()
    one_line(run(left, "projections", "hash", "--rebuild"), 1, "beyond the log's end at 10")


def test_a_live_server_hashes_the_same_as_a_rebuild_while_it_is_written_to(server: Server, ana: Caller) -> None:
    chat_id = ana.group()
    with started(server.data, "projections", "hash", "--rebuild", "--json") as hashing:
        while hashing.process.poll() is None:
            say(ana, chat_id)
        status, out, _ = hashing.end()
    assert status == 0
    assert json.loads(out)["same"] is True


# --- users ---------------------------------------------------------------------------------------------------


def test_a_role_is_given_and_taken(server: Server, http: httpx.Client) -> None:
    username = register(http)["user"]["username"]

    def is_admin() -> bool:
        token = http.post("/v1/auth/login", json={"username": username, "password": PASSWORD}).json()["access_token"]
        claims = token.split(".")[1]
        return bool(json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4))).get("adm", False))

    assert not is_admin()
    assert run(server.data, "admin", "grant", username.upper()).status == 0
    assert is_admin()
    assert run(server.data, "admin", "revoke", username).status == 0
    assert not is_admin()
    one_line(run(server.data, "admin", "grant", "nobody-of-that-name"), 1, "no user nobody-of-that-name")
    listed = lines(run(server.data, "admin", "users").stdout)
    assert username in [user["username"] for user in listed]


def test_without_accounts_there_is_nobody_to_grant_anything(tmp_path: Path) -> None:
    one_line(run(tmp_path, "admin", "grant", "ana"), 1, f"no accounts in {tmp_path}")
    assert not any(tmp_path.iterdir())


# --- help ----------------------------------------------------------------------------------------------------


def test_help_imports_next_to_nothing() -> None:
    program = (
        "import sys\n"
        "from infra.cli import main\n"
        "sys.argv = ['tidings', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = 'rich pydantic sqlalchemy sqlite3 fastapi uvicorn asyncio msgspec cryptography'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=QUICK)
    assert done.stderr == "[]\n"
    assert "projections" in done.stdout


def test_the_version_is_the_packages() -> None:
    done = run(Path("nowhere"), "version")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.count(".") == 2
