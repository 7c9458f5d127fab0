"""The short run of `./dev cluster faults`: a single node of each, every fault once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.cluster.plan import Plan
from tests.faults.cases import cases
from tests.support.needs import require
from tests.support.server import ROOT

PATIENCE_S = 1_200


@pytest.mark.timeout(PATIENCE_S + 60)
def test_no_fault_loses_or_repeats_anything(tmp_path: Path) -> None:
    for service in ("kafka", "cassandra", "redis", "postgres", "haproxy"):
        require(service)
    command = [sys.executable, "-m", "tests.faults", "--short", "--folder", str(tmp_path / "cluster")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    for case in cases(Plan(), short=True):
        assert case.name[:30] in run.stdout
