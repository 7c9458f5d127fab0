"""One service of the local cluster: a process of its own that outlives whoever started it.

All that is known about it stands in its folder, so that another process can take it up again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Literal

from infra.cluster.files import write_whole
from infra.cluster.ports import free_port, is_free
from infra.cluster.processes import PROCESS_FILE, family, is_stopped, record, recorded, signal_all, spawn, started

State = Literal["running", "paused", "stopped"]
_POLL_S = 0.05


class ServiceFailed(Exception):
    """A service did not start or did not end; the message ends with its log."""


class Service(ABC):
    """`folder` holds its data, log, port numbers and pid. Ports that are not given are free ones, and are kept.

    Subclasses say how it is prepared and started, and how one sees that it is ready. Methods block: call them from
    a thread where an event loop runs.
    """

    host = "127.0.0.1"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    patience_s: ClassVar[float] = 120.0
    """How long it may take to end."""
    ready_s: ClassVar[float] = 300.0
    """How long to become ready. One that ends is noticed at once, so this only bounds a machine that is very busy."""

    timer_slack_us: ClassVar[int] = 0
    """See `spawn`."""

    def __init__(self, name: str, folder: Path, ports: Mapping[str, int | None]) -> None:
        """`ports`: purpose → number, or None for the one used before, else a free one."""
        self.name = name
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / f"{name}.log"
        self._process_file = self.folder / PROCESS_FILE
        self.ports = self._claim(ports)

    # --- what a service is -----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Before each start: write configuration, make what the first start needs. Must bear being cut short."""
        return

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments. It must stay in the foreground and keep its pid."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves. Never raises for a service that is away; may take a second."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    # --- what can be done with it ----------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The pid of the service's own process, None where it does not run."""
        return recorded(self._process_file)

    @property
    def state(self) -> State:
        pid = self.pid
        if pid is None:
            return "stopped"
        return "paused" if is_stopped(pid) else "running"

    def start(self) -> None:
        """Start and wait until it is ready. No error if it runs already. Raises ServiceFailed, ProgramMissing, …"""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start without waiting. No error if it runs already."""
        with self._turn():
            if self.pid is not None:
                return
            for port in self.ports.values():
                # Else readiness would be told by whoever has it.
                if not is_free(self.host, port):
                    raise ServiceFailed(f"{self.name} cannot start: port {port} of {self.host} is taken")
            self.prepare()
            pid = spawn(
                self.command(),
                cwd=self.folder,
                environment=self.environment(),
                log=self.log,
                timer_slack_us=self.timer_slack_us,
            )
            record(self._process_file, pid)

    def wait_ready(self) -> None:
        """Return once it is ready. Raises ServiceFailed, having killed it if it only is late."""
        until = time.monotonic() + self.ready_s
        while not self.is_ready():
            if self.pid is None:
                raise ServiceFailed(f"{self.name} ended before it was ready\n{self.told()}")
            if time.monotonic() > until:
                self.kill()
                raise ServiceFailed(f"{self.name} was not ready within {self.ready_s:.0f} s\n{self.told()}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End it in its own good order. Quiet if it does not run. Raises ServiceFailed, having killed it."""
        pid = self.pid
        if pid is None:
            return
        self.resume()
        signal_all([pid], self.stop_signal)
        if not self._wait_ended():
            self.kill()
            raise ServiceFailed(f"{self.name} did not end within {self.patience_s:.0f} s\n{self.told()}")

    def end(self) -> None:
        """Stop it, and see to it that it is gone even if it does not end by itself. Quiet if it does not run."""
        with suppress(ServiceFailed):
            self.stop()
        self.kill()

    def kill(self) -> None:
        """kill -9, children included; returns when the kernel has cleaned up. Quiet if it does not run."""
        pid = self.pid
        if pid is None:
            return
        members = family(pid)
        signal_all(members, signal.SIGKILL)
        until = time.monotonic() + self.patience_s
        while any(started(member) is not None for member in members):
            if time.monotonic() > until:
                raise ServiceFailed(f"{self.name} cannot be killed: is it stuck in the kernel?")
            time.sleep(_POLL_S / 10)

    def pause(self) -> None:
        """SIGSTOP, children included: it is there but does not answer. Quiet if it does not run."""
        self._hold(signal.SIGSTOP, True)

    def resume(self) -> None:
        """SIGCONT, children included."""
        self._hold(signal.SIGCONT, False)

    def erase(self) -> None:
        """Kill it and remove its folder: the next start is a first one."""
        self.kill()
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.ports = self._claim(self.ports)

    def told(self, characters: int = 4_000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    # -----------------------------------------------------------------------------------------------------------

    def _claim(self, asked: Mapping[str, int | None]) -> dict[str, int]:
        """Ports as given, else as used before, else free ones; written down for the next one who asks."""
        file = self.folder / "ports.json"
        with self._turn():
            before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
            ports = {purpose: port or before.get(purpose) or free_port(self.host) for purpose, port in asked.items()}
            if ports != before:
                write_whole(file, json.dumps(ports))
        return ports

    def _hold(self, number: signal.Signals, held: bool) -> None:
        pid = self.pid
        if pid is None:
            return
        members = family(pid)
        signal_all(members, number)
        until = time.monotonic() + self.patience_s
        # Signals take effect a moment after they were sent.
        while any(started(member) is not None and is_stopped(member) != held for member in members):
            if time.monotonic() > until:
                raise ServiceFailed(f"{self.name} cannot be held or let go")
            time.sleep(_POLL_S / 10)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time starts a service."""
        with (self.folder / "turn.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _wait_ended(self) -> bool:
        until = time.monotonic() + self.patience_s
        while self.pid is not None:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True


def answers(host: str, port: int, question: bytes, beginning: bytes) -> bool:
    """Whether a server answers `question` with bytes that begin so, within a second."""
    try:
        with socket.create_connection((host, port), timeout=1) as line:
            line.settimeout(1)
            line.sendall(question)
            answer = b""
            while len(answer) < len(beginning):
                more = line.recv(len(beginning) - len(answer))
                if not more:
                    return False
                answer += more
            return answer == beginning
    except OSError:
        return False
