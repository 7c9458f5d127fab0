"""The command line as a process: run to its end, or started and read line by line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import QUICK, ROOT, UNLIMITED

PATIENCE_S = 60.0


def environment(data: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Quick passwords, no limits, this data directory, and no other TIDINGS_* variable of ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
    return {**inherited, **QUICK, **UNLIMITED, "TIDINGS_DATA": str(data), **(settings or {})}


def run(data: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its status."""
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        cwd=ROOT,
        env=environment(data, settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


class Started:
    """A command under way. `line` gives its next line on stdout."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.stdout = process.stdout

    def line(self) -> str:
        return self.stdout.readline().rstrip("\n")

    def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Send a signal if one is given, and wait: status, the rest of stdout, all of stderr."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


@contextmanager
def started(data: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Started]:
    """Start a command; kill it at the end of the block if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", *arguments],
        cwd=ROOT,
        env=environment(data, settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Started(process)
        finally:
            if process.poll() is None:
                process.kill()
