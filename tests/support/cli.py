"""The command line: run to its end, or started as a process of its own and read line by line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from infra.cli.app import app
from tests.support.server import QUICK, ROOT, UNLIMITED

PATIENCE_S = 60.0


def environment(data: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Quick passwords, no limits, this data directory, and no other TIDINGS_* variable of ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
    return {**inherited, **QUICK, **UNLIMITED, "TIDINGS_DATA": str(data), **(settings or {})}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


def run(data: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Done:
    """Run a command to its end in this process, which saves a second of imports. A defect in it is raised."""
    ours = environment(data, settings)
    without = {name: None for name in os.environ if name not in ours}
    result = CliRunner().invoke(app, arguments, prog_name="tidings", env={**ours, **without})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


class Started:
    """A command under way. `line` gives its next line on stdout."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.stdout = process.stdout

    def line(self) -> str:
        """Fails with what the command said on stderr if it ends without another line."""
        line = self.stdout.readline()
        if not line:
            status, _, err = self.end()
            raise AssertionError(f"ended with status {status} and no further line\n{err}")
        return line.rstrip("\n")

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
