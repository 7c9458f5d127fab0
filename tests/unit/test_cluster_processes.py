"""A process of the local cluster begins as it is asked to."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.cluster.processes import spawn, started

TELL = "import pathlib; print(pathlib.Path('/proc/self/timerslack_ns').read_text())"


@pytest.mark.parametrize(("asked_us", "has_ns"), [(0, 50_000), (300, 300_000)])
def test_the_kernel_may_be_late_for_those_who_said_so_and_for_nobody_else(
    tmp_path: Path, asked_us: int, has_ns: int
) -> None:
    own = Path(f"/proc/{threading.get_native_id()}/timerslack_ns")
    before = own.read_text()
    log = tmp_path / "log"
    pid = spawn([sys.executable, "-c", TELL], cwd=tmp_path, environment=os.environ, log=log, timer_slack_us=asked_us)
    until = time.monotonic() + 10
    while started(pid) is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert int(log.read_text()) == has_ns
    assert own.read_text() == before
