"""The doctor finds each fault that it knows, says how to mend it, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.cli.checks import Check, State
from infra.cli.checks.data import NO_SPACE, accounts, directory, log_and_views, secrets, space
from infra.cli.checks.machine import port, programs
from infra.cli.doctor import examine
from infra.layout import JWT_SECRET, MASTER_KEY, accounts_file, log_file, push_file, views_file
from infra.settings import Settings
from infra.sqlite.database import DirectoryLock
from tests.support.cli import run
from tests.support.server import Server, free_port


def named(found: list[Check], name: str) -> Check:
    [check] = [each for each in found if each.name == name]
    return check


def kept(data: Path) -> list[str]:
    """The names in a data directory, without SQLite's own files beside its databases, which every reader makes."""
    return sorted(name for name in os.listdir(data) if not name.endswith(("-wal", "-shm")))


def now() -> datetime:
    return datetime.now(UTC)


def test_an_installation_that_is_well_has_nothing_to_mend(stopped: Path) -> None:
    before = kept(stopped)
    done = run(stopped, "doctor", "--port", str(free_port()), "--json")
    found = [Check(**each) for each in json.loads(done.stdout)]
    essential = [check for check in found if check.name not in ("chromium", "node", "disk")]
    assert {check.state for check in essential} == {"ok"}, found
    assert "".join(check.mend for check in essential) == ""
    assert done.status == 0
    assert "5 users" in named(found, "accounts").found
    assert named(found, "views").found == "at the log's end"
    assert kept(stopped) == before


def test_a_running_server_is_recognised(server: Server) -> None:
    found = examine({"data": server.data, "port": server.port})
    assert named(found, "server") == Check("server", "ok", f"running as process {server.pid}")
    assert named(found, "port").state == "ok"
    assert "answers: Tidings" in named(found, "port").found
    assert named(found, "master.key").state == "ok"


def test_before_the_first_start_nothing_fails_and_nothing_is_made(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = run(data, "doctor", "--port", str(free_port()))
    assert done.status == 0, done.stdout
    assert "is not there yet  -> tidings serve makes it" in done.stdout
    assert not data.exists()


def test_a_failure_is_the_exit_status(left: Path) -> None:
    (left / MASTER_KEY).unlink()
    done = run(left, "doctor", "--port", str(free_port()))
    assert done.status == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert "master.key" in line
    assert "backup" in line


def test_bad_settings_are_a_failure_of_their_own(tmp_path: Path) -> None:
    done = run(tmp_path, "doctor", settings={"TIDINGS_PORT": "eighty"})
    assert done.status == 1
    assert "set TIDINGS_PORT right" in done.stdout


# --- one fault each ------------------------------------------------------------------------------------------

Break = Callable[[Path], object]


def sql(path: Callable[[Path], Path], statement: str) -> Break:
    def change(data: Path) -> None:
        with closing(sqlite3.connect(path(data))) as db:
            db.execute(statement)
            db.commit()

    return change


def overwrite(path: Callable[[Path], Path]) -> Break:
    return lambda data: path(data).write_bytes(b"something else " * 500)


def a_file_in_place_of(name: str) -> Break:
    def change(data: Path) -> None:
        (data / name).rmdir()
        (data / name).touch()

    return change


def a_folder_in_place_of(name: str) -> Break:
    def change(data: Path) -> None:
        (data / name).unlink()
        (data / name).mkdir()

    return change


FAULTS: list[tuple[Break, str, State, str, str]] = [
    (lambda d: (d / MASTER_KEY).chmod(0o644), "master.key", "fail", "mode 0644", "chmod 600"),
    (lambda d: (d / MASTER_KEY).write_text("zz"), "master.key", "fail", "cannot be read", "backup"),
    (lambda d: (d / MASTER_KEY).write_text("00" * 32), "accounts", "fail", "another master key", "master.key back"),
    (lambda d: (d / JWT_SECRET).unlink(), "jwt.secret", "ok", "made at the first start", ""),
    (sql(accounts_file, "UPDATE alembic_version SET version_num = '0000'"), "accounts", "warn", "0000 of ", "migrates"),
    (overwrite(accounts_file), "accounts", "fail", "not a database", "TIDINGS_ACCOUNTS_URL"),
    (overwrite(log_file), "log", "fail", "not a database", "restore log.db"),
    (overwrite(views_file), "views", "fail", "not a database", "remove views-1.db"),
    (overwrite(push_file), "push", "fail", "not a database", "remove it"),
    (a_file_in_place_of("files"), "files", "fail", "is no folder", "move it away"),
    (a_folder_in_place_of("LOCK"), "lock", "fail", "is a folder", "remove it"),
    (lambda d: accounts_file(d).unlink(), "accounts", "fail", "is missing or empty", "put it back"),
    (lambda d: log_file(d).unlink(), "log", "fail", "is missing", "put it back"),
    (lambda d: d.chmod(0o755), "private", "warn", "mode 0755", "at its next start"),
    (lambda d: views_file(d).unlink(), "views", "ok", "at the next start", ""),
    (sql(log_file, "DELETE FROM records WHERE place > 9"), "views", "fail", "beyond the log's end", "older copy"),
    (sql(views_file, "UPDATE view_meta SET value = 'x'"), "views", "fail", "another log", "remove views-1.db"),
    (sql(views_file, "UPDATE positions SET next_offset = 7"), "views", "ok", "records behind, folded at the next", ""),
    (
        sql(views_file, "INSERT INTO parked VALUES ('chat', 4, 0, 'broken', x'00')"),
        "views",
        "warn",
        "1 parked; the first chat is chat, at offset 4: broken",
        "tidings events tail",
    ),
]


@pytest.mark.parametrize(("fault", "name", "state", "says", "mend"), FAULTS)
def test_each_fault_is_found_and_told_how_to_mend(
    left: Path, fault: Break, name: str, state: State, says: str, mend: str
) -> None:
    fault(left)
    found = examine({"data": left, "port": 0})
    check = named(found, name)
    assert check.state == state, found
    assert says in check.found
    assert mend in check.mend
    assert bool(check.mend) == (state != "ok")


def test_secrets_from_the_environment_need_no_files(left: Path) -> None:
    (left / MASTER_KEY).unlink()
    settings = Settings(data=left, master_key=SecretStr("00" * 32), jwt_secret=SecretStr("11" * 32))
    assert [check.state for check in secrets(settings)] == ["ok", "ok"]
    assert accounts(settings).found == "made with another master key than the one here"


@pytest.mark.parametrize(("ahead_s", "state"), [(-60, "ok"), (4, "ok"), (60, "fail")])
def test_a_clock_behind_the_log_is_noticed(left: Path, ahead_s: float, state: State) -> None:
    at_ms = int((now() + timedelta(seconds=ahead_s)).timestamp() * 1000)
    sql(log_file, f"UPDATE records SET timestamp_ms = {at_ms}")(left)
    assert named(log_and_views(left, now()), "clock").state == state


def test_a_clock_that_was_never_set_is_noticed(tmp_path: Path) -> None:
    assert named(log_and_views(tmp_path, datetime(1970, 1, 3, tzinfo=UTC)), "clock").state == "fail"


def test_a_data_directory_that_cannot_be_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert directory(tmp_path / "file").state == "fail"
    assert directory(tmp_path).state == "ok"
    assert directory(tmp_path / "a" / "b").state == "warn"


def test_little_space_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(amount: int) -> Check:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(amount, 0, amount))
        return space(tmp_path / "not yet" / "there")

    assert free(NO_SPACE - 1).state == "fail"
    assert free(NO_SPACE * 5).state == "warn"
    assert free(NO_SPACE * 100).state == "ok"


# --- the port ------------------------------------------------------------------------------------------------


def test_a_port_of_another_program_is_noticed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        check = port("127.0.0.1", other.getsockname()[1], tmp_path, patience_s=0.1)
    assert check.state == "fail"
    assert "taken by another program" in check.found
    assert "--port" in check.mend


def test_a_server_with_other_data_is_told_apart(server: Server, tmp_path: Path) -> None:
    check = port("127.0.0.1", server.port, tmp_path)
    assert check.state == "fail"
    assert "with other data" in check.found


def test_a_server_on_another_port_is_told(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    check = port("127.0.0.1", free_port(), tmp_path)
    lock.release()
    assert check.state == "warn"
    assert "--port N" in check.mend


def test_an_address_that_is_not_of_this_machine_is_noticed(tmp_path: Path) -> None:
    assert port("192.0.2.1", 0, tmp_path).state == "fail"


def test_a_clone_is_told_what_its_tests_want(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [check.state for check in programs()] == ["warn", "warn"]
    (tmp_path / "node").touch(mode=0o755)
    assert [check.state for check in programs()] == ["warn", "ok"]
