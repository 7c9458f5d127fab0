"""Services of the local cluster start, die and come back, whoever looks at them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.cluster.processes import started
from infra.cluster.programs import find_postgres
from infra.cluster.services import Cassandra, Haproxy, Kafka, Postgres, Redis, Service, ServiceFailed
from tests.support.services import ROOT

Make = Callable[[], Service]


@pytest.fixture(params=["redis", "postgres", "haproxy"])
def make(request: pytest.FixtureRequest, service_folder: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes a service of the test's own; each call gives another handle on the same one."""
    request.applymarker(pytest.mark.needs(request.param))
    folder = service_folder / tmp_path.name
    kinds: dict[str, Make] = {
        "redis": lambda: Redis(folder),
        "postgres": lambda: Postgres(folder),
        "haproxy": lambda: Haproxy(folder, {"gateway-1": "127.0.0.1:9"}),
    }
    yield kinds[request.param]
    kinds[request.param]().kill()


@pytest.mark.needs("redis", "postgres", "haproxy")
def test_a_service_starts_stops_and_comes_back_on_the_same_ports(make: Make) -> None:
    service = make()
    assert (service.state, service.pid) == ("stopped", None)
    service.start()
    assert service.state == "running"
    assert service.is_ready()
    first = service.pid
    service.start()
    assert service.pid == first, "starting what runs is no error and changes nothing"
    service.stop()
    assert (service.state, service.is_ready()) == ("stopped", False)
    service.stop()
    ports = service.ports
    service.start()
    assert service.pid != first
    assert service.ports == ports


@pytest.mark.needs("redis", "postgres", "haproxy")
def test_another_process_can_take_it_up(make: Make) -> None:
    make().start()
    other = make()
    assert other.state == "running"
    assert other.is_ready()
    pid = other.pid
    assert pid is not None
    other.kill()
    assert started(pid) is None
    assert make().state == "stopped"


@pytest.mark.needs("redis", "postgres", "haproxy")
def test_a_paused_service_is_there_but_does_not_answer(make: Make) -> None:
    service = make()
    service.start()
    service.pause()
    assert (service.state, service.is_ready()) == ("paused", False)
    service.resume()
    assert (service.state, service.is_ready()) == ("running", True)
    service.pause()
    service.stop()
    assert service.state == "stopped"
    service.start()
    service.pause()
    service.kill()
    assert service.state == "stopped"


@pytest.mark.needs("redis")
def test_who_started_it_may_go(service_folder: Path, tmp_path: Path) -> None:
    folder = service_folder / tmp_path.name
    program = (
        f"from pathlib import Path; from infra.cluster.services import Redis; Redis(Path({str(folder)!r})).start()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    left = Redis(folder)
    assert left.is_ready()
    left.kill()


@pytest.mark.needs("redis")
def test_a_service_whose_port_is_taken_does_not_start(service_folder: Path, tmp_path: Path) -> None:
    one = Redis(service_folder / f"{tmp_path.name}-one")
    one.start()
    other = Redis(service_folder / f"{tmp_path.name}-other", port=one.ports["redis"])
    with pytest.raises(ServiceFailed, match="is taken"):
        other.start()
    one.kill()


@pytest.mark.needs("redis")
def test_a_start_that_fails_tells_what_the_service_said(service_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="argument must be a memory value"):
        Redis(service_folder / tmp_path.name, memory_mb=-1).start()


@pytest.mark.needs("redis")
def test_an_erased_service_begins_anew(service_folder: Path, tmp_path: Path) -> None:
    service = Redis(service_folder / tmp_path.name)
    service.start()
    (service.folder / "old").touch()
    service.erase()
    assert service.state == "stopped"
    service.start()
    assert not (service.folder / "old").exists()
    service.kill()


@pytest.mark.needs("redis")
def test_a_pid_that_was_given_to_another_process_is_left_alone(service_folder: Path, tmp_path: Path) -> None:
    service = Redis(service_folder / tmp_path.name)
    (service.folder / "process.json").write_text(f'{{"pid": {os.getpid()}, "started": 1}}')
    assert service.state == "stopped"
    service.kill()


@pytest.mark.needs("redis")
def test_services_do_not_outlive_tests_that_were_killed(tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis")
    redis.start()
    pid = redis.pid
    assert pid is not None
    subprocess.run(
        [sys.executable, "-m", "tests.support.services", str(tmp_path)], cwd=ROOT, stdin=subprocess.DEVNULL, check=True
    )
    while started(pid) is not None:
        pass
    assert redis.state == "stopped"


@pytest.mark.needs("postgres")
def test_a_replica_follows_its_primary(postgres: Postgres, service_folder: Path, tmp_path: Path) -> None:
    replica = Postgres(service_folder / tmp_path.name, name="replica", replica_of=postgres)
    replica.start()
    assert ask(replica, "SELECT pg_is_in_recovery()") == "t"
    ask(postgres, "SET synchronous_commit = on; CREATE TABLE followed (x int); INSERT INTO followed VALUES (7)")
    behind = ask(postgres, "SELECT pg_current_wal_lsn()")
    while ask(replica, f"SELECT pg_last_wal_replay_lsn() >= '{behind}'") != "t":
        pass
    assert ask(replica, "SELECT x FROM followed") == "7"
    replica.kill()


def ask(server: Postgres, statement: str) -> str:
    command = [str(find_postgres() / "psql"), "-h", server.host, "-p", str(server.ports["postgres"]), "-U", "tidings"]
    command += ["-qtA", "-c", statement, "tidings"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_kafka_starts_once_for_all_tests(kafka: Kafka) -> None:
    assert kafka.state == "running"
    assert kafka.is_ready()


def test_cassandra_starts_once_for_all_tests(cassandra: Cassandra) -> None:
    assert cassandra.state == "running"
    assert cassandra.is_ready()
