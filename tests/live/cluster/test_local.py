"""A whole cluster on this machine, from the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from stat import S_IMODE
from threading import Event, Thread
from urllib.request import urlopen

import pytest

from infra.cluster.processes import started
from tests.live.cluster.conftest import Local
from tests.support import cli
from tests.support.server import ROOT

pytestmark = [
    pytest.mark.needs("kafka", "cassandra", "redis", "postgres", "haproxy"),
    pytest.mark.timeout(300),
]


def test_all_run_and_the_address_serves_through_haproxy(local: Local) -> None:
    status = local.status()
    assert list(status) == [
        *("kafka-1", "cassandra-1", "redis", "postgres", "worker-1", "gateway-1", "gateway-2", "haproxy")
    ]
    assert {service["state"] for service in status.values()} == {"running"}
    assert local.url == f"http://127.0.0.1:{status['haproxy']['ports']['http']}"
    with urlopen(f"{local.url}/v1/info") as answer:
        assert "chats" in json.loads(answer.read())["features"]


@pytest.mark.parametrize(
    ("name", "program"),
    [("kafka-1", "kafka.Kafka"), ("redis", "redis-server"), ("postgres", "postgres"), ("gateway-1", "gateway")],
)
def test_a_pid_is_the_services_own(local: Local, name: str, program: str) -> None:
    pid = local.status()[name]["pid"]
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    assert any(program in part for part in command)
    assert Path(command[0]).name not in ("sh", "bash", "setpriv", "tail")


def test_secrets_are_for_their_owner_alone(local: Local) -> None:
    secrets = list((local.folder / "secrets").iterdir())
    assert {file.name for file in secrets} == {"master.key", "jwt.secret"}
    assert {S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}


def test_starting_what_runs_is_no_error_and_changes_nothing(local: Local) -> None:
    before = local.status()
    local.done("start", "redis")
    assert local.done("up").strip() == local.url
    assert local.status() == before


def test_one_that_was_killed_comes_back_by_start_and_another_by_up(local: Local) -> None:
    before = local.status()
    local.done("kill", "redis")
    local.done("kill", "worker-1")
    dead = local.status()
    assert [dead[name]["state"] for name in ("redis", "worker-1")] == ["stopped", "stopped"]
    assert [dead[name]["pid"] for name in ("redis", "worker-1")] == [None, None]
    local.done("start", "redis")
    assert local.status()["redis"]["state"] == "running"
    local.done("up")
    after = local.status()
    assert {service["state"] for service in after.values()} == {"running"}
    changed = {name for name in after if after[name]["pid"] != before[name]["pid"]}
    assert changed == {"redis", "worker-1"}
    assert {name: service["ports"] for name, service in after.items()} == {
        name: service["ports"] for name, service in before.items()
    }


def test_an_up_that_fails_half_way_says_what_failed_and_what_to_do(local: Local) -> None:
    port = local.status()["redis"]["ports"]["redis"]
    local.done("kill", "redis")
    with socket.create_server(("127.0.0.1", port)):
        failed = local.run("up")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert f"port {port} of 127.0.0.1 is taken" in failed.stderr
    assert "redis did not start; the others go on running: tidings cluster up tries again" in failed.stderr
    assert local.done("up").strip() == local.url
    assert {service["state"] for service in local.status().values()} == {"running"}


def test_a_paused_one_is_shown_and_goes_on(local: Local) -> None:
    os.kill(local.status()["redis"]["pid"], signal.SIGSTOP)
    assert local.status()["redis"]["state"] == "paused"
    local.done("start", "redis")
    assert local.status()["redis"]["state"] == "running"


def test_logs_show_the_end_and_follow(local: Local) -> None:
    assert local.done("logs", "redis", "-n", "1000").count("Ready to accept connections") >= 1
    assert local.done("logs", "redis", "-n", "1").count("\n") == 1
    command = [sys.executable, "-m", "infra.cli", "cluster", "logs", "redis", "-f", "-n", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=local.environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        heard = Event()
        speaking = Thread(target=say_until, args=(local.folder / "redis" / "redis.log", heard))
        speaking.start()
        assert following.stdout.readline() == "said by a test\n"
        heard.set()
        speaking.join()
        following.send_signal(signal.SIGINT)


def say_until(log: Path, heard: Event) -> None:
    """Whoever follows may not look yet, so it is said again and again."""
    while not heard.wait(0.05):
        with log.open("a") as file:
            file.write("said by a test\n")


def test_a_stopped_one_is_told_of_by_env_too(local: Local) -> None:
    settings = dict(line.removeprefix("export ").split("=", 1) for line in local.done("env").splitlines())
    ports = local.status()["kafka-1"]["ports"]
    assert settings["TIDINGS_KAFKA"] == f"127.0.0.1:{ports['kafka']}"
    assert {"TIDINGS_CASSANDRA", "TIDINGS_REDIS", "TIDINGS_ACCOUNTS_URL", "TIDINGS_MASTER_KEY"} <= settings.keys()


def test_names_that_are_none_are_told_with_those_that_are(local: Local) -> None:
    refused = local.run("kill", "redsi")
    assert refused.returncode == 2
    assert "there is no service redsi: kafka-1, cassandra-1, redis" in refused.stderr
    assert local.run("drain", "worker-1").returncode == 2


def test_nodes_that_hold_data_do_not_come_or_go(local: Local) -> None:
    refused = local.run("up", "--kafka", "3")
    assert refused.returncode == 2
    assert "cannot become" in refused.stderr
    assert {service["state"] for service in local.status().values()} == {"running"}


def test_without_a_cluster_commands_say_how_to_get_one(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    told = cli.run(tmp_path, "cluster", "status", "--json", settings={"TIDINGS_CLUSTER": str(folder)})
    assert (told.status, json.loads(told.stdout)) == (0, {"url": None, "services": []})
    for command in (["logs", "redis"], ["start", "redis"], ["kill", "redis"], ["drain", "gateway-1"], ["env"]):
        refused = cli.run(tmp_path, "cluster", *command, settings={"TIDINGS_CLUSTER": str(folder)})
        assert refused.status == 1
        assert "tidings cluster up makes one" in refused.stderr
    assert cli.run(tmp_path, "cluster", "down", settings={"TIDINGS_CLUSTER": str(folder)}).status == 0
    assert not folder.exists()


def test_programs_that_are_missing_are_named_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cluster.programs.shutil.which", lambda program, path=None: None)
    refused = cli.run(tmp_path, "cluster", "up", settings={"TIDINGS_CLUSTER": str(tmp_path / "new")})
    assert refused.status == 1
    for package in ("openjdk-17-jre-headless", "redis-server", "haproxy"):
        assert f"apt-get install {package}" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_an_up_that_is_interrupted_says_what_to_do_and_what_it_started_can_be_ended(
    local: Local, service_folder: Path
) -> None:
    other = Local(service_folder / "interrupted")
    command = [sys.executable, "-m", "infra.cli", "cluster", "up"]
    with subprocess.Popen(
        command, cwd=ROOT, env=other.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as up:
        assert up.stderr is not None
        first = up.stderr.readline()
        assert "ready after" in first
        up.send_signal(signal.SIGINT)
        out, err = up.communicate(timeout=60)
    assert (up.returncode, out) == (130, "")
    assert "tidings cluster down ends it" in err
    pids = [service["pid"] for service in other.status().values() if service["pid"] is not None]
    assert pids
    other.done("down", "--erase")
    assert [pid for pid in pids if started(pid) is not None] == []
    assert not other.folder.exists()
