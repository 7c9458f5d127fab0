"""Commands given nonsense, a closed stdout, a full one or Ctrl-C end in order; no password is ever shown."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli import serving
from tests.support.cli import environment, run, started
from tests.support.server import ROOT

CHAT = "0196b1a0-0000-7000-8000-000000000001"
SECRET = "hunter2secret"


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's log would go to a stderr that ends with the command."""
    monkeypatch.setattr(serving, "_log", lambda settings: None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["events", "cat", "--from", "nonsense"],
        ["events", "cat", "--from", "99:0"],
        ["events", "cat", "--from", "0:99999999999999999999999"],
        ["events", "cat", "--user", "nobody"],
        ["events", "export", "--out", ""],
        ["events", "export", "--out", "s3://"],
        ["events", "export", "--out", f"s3://me:{SECRET}@bucket/x"],
        ["events", "export", "--out", "gs://bucket/x"],
        ["events", "export", "--out", "/dev/null"],
        ["events", "export", "--out", "/proc/x"],
        ["events", "replay", "--into", "http://["],
        ["events", "replay", "--into", "http://host:port"],
        ["events", "replay", "--into", "http://"],
        ["events", "replay", "--into", "file://"],
        ["events", "replay", "--into", "file:///proc/x"],
        ["events", "replay", "--into", f"ftp://me:{SECRET}@host"],
        ["events", "replay", "--into", f"http://me:{SECRET}@127.0.0.1:1/x"],
        ["sql", "select"],
        ["sql", "select 1", "--export", "/nowhere"],
        ["sql", "select 1", "--export", f"s3://me:{SECRET}@bucket"],
        ["at", "nonsense", "chat", CHAT],
        ["at", "0:5", "inbox", "nobody"],
        ["backup", "/dev/null"],
        ["backup", "/proc/x"],
        ["restore", "/nowhere"],
        ["restore", "/dev/null"],
        ["projections", "rebuild", "nonsense"],
        ["projections", "drop", "99"],
        ["repair", "nonsense"],
        ["dead-letters", "retry", "nonsense"],
        ["models", "fold", "nonsense"],
        ["admin", "grant", "nobody"],
        ["push", "test", "--device", "nothing"],
        ["serve", "--host", "", "--port", "0"],
        ["serve", "--host", "no such host", "--port", "0"],
        ["demo", "--url", f"http://me:{SECRET}@127.0.0.1:1"],
    ],
    ids=" ".join,
)
def test_nonsense_is_told_in_one_line(stopped: Path, arguments: list[str]) -> None:
    done = run(stopped, *arguments)
    assert done.status in (1, 2)
    assert len([line for line in done.stderr.splitlines() if line.startswith("tidings: ")]) == 1, done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", ["doctor", "admin users", "serve --port 0", "backup /proc/x", "events cat --user ana", "push log"]
)
def test_no_password_of_the_settings_is_shown(stopped: Path, tmp_path: Path, command: str) -> None:
    settings = {
        "TIDINGS_ACCOUNTS_URL": f"postgresql://me:{SECRET}@127.0.0.1:1/accounts?sslpassword={SECRET}",
        "TIDINGS_REDIS": f"redis://me:{SECRET}@127.0.0.1:1/0",
        "TIDINGS_MASTER_KEY": SECRET.encode().hex() * 3,
    }
    done = run(stopped if command != "serve --port 0" else tmp_path, *command.split(), settings=settings)
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert SECRET not in told
    assert SECRET.encode().hex() not in told
    if command != "push log":
        assert done.status == 1


def piped(data: Path, command: str, rest: str) -> subprocess.CompletedProcess[str]:
    line = f"set -o pipefail; {sys.executable} -m infra.cli {command} {rest}"
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=environment(data), capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", ["events cat", "admin users", "doctor", "audit", "projections list", "stats"])
def test_who_reads_may_go(stopped: Path, command: str) -> None:
    done = piped(stopped, command, "| true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["doctor --port 0", "events cat", "version", "--help"])
def test_a_closed_stdout_is_no_defect(stopped: Path, command: str) -> None:
    assert piped(stopped, command, ">&-").stderr == ""


@pytest.mark.parametrize("command", ["events cat", "doctor", "version", "--help"])
def test_a_full_disk_behind_stdout_is_one_line(stopped: Path, command: str) -> None:
    done = piped(stopped, command, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "tidings: No space left on device; make room\n"


def test_ctrl_c_ends_what_follows_the_log_without_a_traceback(stopped: Path) -> None:
    with started(stopped, "events", "tail", "--from", "start") as following:
        following.line()
        status, _, err = following.end(signal.SIGINT)
    assert status == 130
    assert err == ""


def test_a_relative_data_folder_is_that_of_the_working_directory(left: Path) -> None:
    command = [sys.executable, "-c", "from infra.cli import main; main()", "events", "cat", "--data", left.name]
    without = {name: value for name, value in environment(left).items() if name != "TIDINGS_DATA"}
    env = {**without, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=left.parent, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 45
