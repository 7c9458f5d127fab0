"""Processes that outlive whoever started them, and what the kernel tells of them in /proc."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from infra.cluster.files import write_whole

PROCESS_FILE = "process.json"
"""Where a service's folder says which process it is."""

_PR_SET_TIMERSLACK = 29
"""<linux/prctl.h>; a slack of 0 is the one that the thread began with."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Started by this process and not yet seen dead. Kept so that they can be reaped and are not complained about."""


class _Stat(NamedTuple):
    pid: int
    state: str
    parent: int
    threads: int
    started: int
    """Clock ticks since boot. With the pid it names a process for good, as pids are used again."""


def _stat(pid: int | str) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the program's name, is in parentheses and may hold anything.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(int(pid), fields[0], int(fields[1]), int(fields[17]), int(fields[19]))


def spawn(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path, timer_slack_us: int = 0
) -> int:
    """Start a process of a session of its own whose output is added to `log`; gives its pid. Raises OSError.

    `timer_slack_us`: by how much the kernel may be late to wake its threads (PR_SET_TIMERSLACK); 0 for the usual 50.
    """
    with log.open("ab") as output, _timer_slack(timer_slack_us):
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    return child.pid


@contextmanager
def _timer_slack(us: int) -> Iterator[None]:
    """What is started in the block has it, for a child inherits the thread's own, and keeps it over `exec`."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_TIMERSLACK, us * 1000, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_TIMERSLACK, 0, 0, 0, 0)


def started(pid: int) -> int | None:
    """When a living process started, in ticks since boot; None for one that is dead."""
    # Looked at before it is reaped, else one that dies in between is taken for dead and never reaped.
    found = _stat(pid)
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)
        return None
    if found is None:
        return None
    # What only waits to be reaped is dead too; but while threads of it still end, it holds its ports.
    return None if found.state in "ZX" and found.threads <= 1 else found.started


def is_stopped(pid: int) -> bool:
    """Whether SIGSTOP holds the process."""
    found = _stat(pid)
    return found is not None and found.state == "T"


def family(pid: int) -> list[int]:
    """A process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _stat(entry.name)) is not None:
            children.setdefault(found.parent, []).append(found.pid)
    members = [pid]
    for member in members:
        members += children.get(member, [])
    return members


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def record(file: Path, pid: int) -> None:
    """Write down which process it is that was just started."""
    write_whole(file, json.dumps({"pid": pid, "started": started(pid)}))


def recorded(file: Path) -> int | None:
    """The pid of the process that `record` wrote down, None if it is dead or was never started."""
    try:
        known = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    pid, since = int(known["pid"]), started(int(known["pid"]))
    return pid if since is not None and since == known["started"] else None
