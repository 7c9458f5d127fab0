"""A real `tidings serve` in a process of its own, on a free port and a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
_POLL_S = 0.02

QUICK = {"TIDINGS_ARGON2_TIME_COST": "1", "TIDINGS_ARGON2_MEMORY_KIB": "8", "TIDINGS_LOG_LEVEL": "warning"}
"""Passwords that cost nothing."""
UNLIMITED = {
    "TIDINGS_LOGINS_PER_MINUTE": "10000000",
    "TIDINGS_CONNECTIONS_PER_ADDRESS": "1000000",
    "TIDINGS_FAILED_LOGINS_PER_MINUTE": "10000000",
    "TIDINGS_FAILED_LOGINS_PER_HOUR": "10000000",
    "TIDINGS_REGISTRATIONS_PER_MINUTE": "10000000",
    "TIDINGS_SENDS_PER_SECOND": "10000000",
    "TIDINGS_SENDS_BURST": "10000000",
    "TIDINGS_MARKS_PER_SECOND": "10000000",
    "TIDINGS_COMMANDS_PER_SECOND": "10000000",
    "TIDINGS_COMMANDS_BURST": "10000000",
    "TIDINGS_QUERIES_PER_SECOND": "10000000",
    "TIDINGS_CHATS_PER_HOUR": "10000000",
    "TIDINGS_APPROACHES_PER_HOUR": "10000000",
}


class ServerFailed(Exception):
    """The process ended or did not become ready; the message ends with what it printed."""


class Server:
    """Starts, kills and starts again, always on the same port and data.

    `settings` are TIDINGS_* variables over QUICK and UNLIMITED; other TIDINGS_* variables of this process are kept
    from the server. `wrapper` is put before the command line (`strace -D …`); it must leave the pid to the server.
    """

    patience_s = PATIENCE_S
    """How long it may take to be ready."""

    def __init__(
        self, data: Path, settings: Mapping[str, str] | None = None, *, wrapper: Sequence[str] = (), port: int = 0
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.output = data.parent / f"{data.name}.output"
        """What all starts printed."""
        self._settings = {**QUICK, **UNLIMITED, **(settings or {})}
        self._wrapper = list(wrapper)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> Server:
        """Start and wait until /readyz says 200. Raises ServerFailed."""
        if self.is_running:
            raise ServerFailed("it is already running")
        command = [*self._wrapper, sys.executable, "-m", "infra.cli", *self._command(), "--host", "127.0.0.1"]
        command += ["--port", str(self.port)]
        self.data.mkdir(parents=True, exist_ok=True)
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.wait_ready()
        return self

    def _command(self) -> list[str]:
        return ["serve", "--data", str(self.data)]

    def environment(self) -> dict[str, str]:
        """What the server and CLI calls on its data run with."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
        # Without bytecode a start compiles everything anew, several seconds of it; tests start often.
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**inherited, "PYTHONUNBUFFERED": "1", **self._settings}

    def wait_ready(self) -> None:
        """Return once /readyz says 200. Raises ServerFailed."""
        process, until = self._running(), monotonic() + self.patience_s
        while not self._answers():
            if monotonic() > until:
                self.kill()
                raise ServerFailed(f"not ready within {self.patience_s:.0f} s\n{self.printed()}")
            try:
                status = process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            raise ServerFailed(f"ended with status {status} before it was ready\n{self.printed()}")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until the kernel has cleaned up. Quiet if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, patience_s: float = PATIENCE_S) -> int:
        """SIGTERM; gives the exit status. Raises ServerFailed, having killed it, if it does not end in time."""
        process = self._running()
        process.terminate()
        return self.wait_ended(patience_s)

    def wait_ended(self, patience_s: float = PATIENCE_S) -> int:
        """Wait for the process to end by itself; gives the exit status. Raises ServerFailed as `stop` does."""
        process = self._running()
        try:
            status = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"did not end within {patience_s:.0f} s\n{self.printed()}") from None
        self._process = None
        return status

    def tidings(self, *arguments: str) -> str:
        """Run the command line on this server's data; gives its stdout. Raises ServerFailed."""
        run = subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            cwd=ROOT,
            env={**self.environment(), "TIDINGS_DATA": str(self.data)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if run.returncode != 0:
            raise ServerFailed(f"tidings {' '.join(arguments)}: status {run.returncode}\n{run.stdout}{run.stderr}")
        return run.stdout

    def printed(self, characters: int = 8_000) -> str:
        """The end of what the server printed."""
        return self.output.read_text(errors="replace")[-characters:] if self.output.exists() else ""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerFailed("it is not running")
        return self._process

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
