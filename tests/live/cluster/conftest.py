"""The local cluster, as `tidings cluster up` makes it: one for all tests of a run that ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.cluster.services import QUICK
from tests.support.needs import require
from tests.support.server import QUICK as QUICK_PASSWORDS
from tests.support.server import ROOT, UNLIMITED

UP_S = 240.0


@dataclass(frozen=True, slots=True)
class Local:
    """A local cluster's folder, and the commands on it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
        ours = {"TIDINGS_CLUSTER": str(self.folder), "TIDINGS_CLUSTER_JVM": " ".join(QUICK)}
        cache = {name: os.environ[name] for name in ("TIDINGS_CACHE",) if name in os.environ}
        return {**inherited, **QUICK_PASSWORDS, **UNLIMITED, **cache, **ours}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", "cluster", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=UP_S,
        )

    def done(self, *arguments: str) -> str:
        """Run a command that must go well; gives its stdout."""
        run = self.run(*arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def status(self) -> dict[str, Any]:
        """Name → what `status --json` says of a service."""
        return {service["name"]: service for service in json.loads(self.done("status", "--json"))["services"]}

    @property
    def url(self) -> str:
        return str(json.loads(self.done("status", "--json"))["url"])


@pytest.fixture(scope="session")
def local(service_folder: Path) -> Local:
    """Two gateways and a worker, running. Leave them so: the end of the run kills them."""
    for need in ("kafka", "cassandra", "redis", "postgres", "haproxy"):
        require(need)
    cluster = Local(service_folder / "local cluster")
    assert cluster.done("up", "--gateways", "2", "--workers", "1").strip() == cluster.url
    return cluster
