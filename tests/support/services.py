"""Real services for tests: one of each for a whole run, started when the first test asks for it.

Tests share them, so they use topics, keyspaces, keys and databases of their own. A test that breaks a service mends it,
or makes one of its own in `service_folder`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import TypeVar
from uuid import uuid4

import pytest

from infra.cluster.jars import JarsMissing
from infra.cluster.processes import PROCESS_FILE, family, recorded, signal_all
from infra.cluster.services import QUICK, Cassandra, Kafka, Postgres, Redis, Service
from tests.support.needs import require

ROOT = Path(__file__).resolve().parents[2]
S = TypeVar("S", bound=Service)


@pytest.fixture(scope="session")
def service_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where services have their folders. What still runs in one at the end is killed, even if this process was."""
    folder = tmp_path_factory.mktemp("services")
    command = [sys.executable, "-m", "tests.support.services", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE):
        yield folder


@pytest.fixture(scope="session")
def kafka(service_folder: Path) -> Iterator[Kafka]:
    """A single broker."""
    require("kafka")
    yield from _started(Kafka(service_folder / "kafka", jvm_options=QUICK))


@pytest.fixture(scope="session")
def cassandra(service_folder: Path) -> Iterator[Cassandra]:
    """A single node."""
    require("cassandra")
    yield from _started(Cassandra(service_folder / "cassandra", jvm_options=QUICK))


@pytest.fixture(scope="session")
def redis(service_folder: Path) -> Iterator[Redis]:
    require("redis")
    yield from _started(Redis(service_folder / "redis"))


@pytest.fixture(scope="session")
def postgres(service_folder: Path) -> Iterator[Postgres]:
    require("postgres")
    yield from _started(Postgres(service_folder / "postgres"))


def _started(service: S) -> Iterator[S]:
    try:
        service.start()
    except JarsMissing as error:
        pytest.skip(str(error))
    yield service
    service.kill()


def fresh_topic() -> str:
    """A name that no other test uses."""
    return f"test-{uuid4()}"


def guard(folder: Path) -> None:
    """Wait for the end of whoever holds the other end of stdin, then kill every service below `folder`."""
    sys.stdin.read()
    for file in folder.rglob(PROCESS_FILE):
        if (pid := recorded(file)) is not None:
            signal_all(family(pid), SIGKILL)


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
