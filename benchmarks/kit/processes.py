"""What the kernel says of a process: CPU time, memory, and how busy the machine was with others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.cluster.processes import family

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time in seconds. The kernel rounds to its clock tick, 10 ms as a rule."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(self.user_s - earlier.user_s, self.system_s - earlier.system_s)


def cpu_of(pid: int) -> Cpu:
    """Of all threads of a process, ended ones included. Raises FileNotFoundError when it is gone."""
    return _cpu(Path(f"/proc/{pid}/stat"))


def cpu_of_all(pids: Iterable[int]) -> Cpu:
    """Of these processes and what they have forked, as far as it runs."""
    user = system = 0.0
    for member in {each for pid in pids for each in family(pid)}:
        with suppress(FileNotFoundError):  # a fork that has just ended
            cpu = cpu_of(member)
            user, system = user + cpu.user_s, system + cpu.system_s
    return Cpu(user, system)


def main_thread_cpu(pid: int) -> Cpu:
    """Of the first thread alone: the event loop, without the threads that commit."""
    return _cpu(Path(f"/proc/{pid}/task/{pid}/stat"))


def rss_of(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def machine_cpu() -> Cpu:
    """Of everything that ran on this machine; time taken by a hypervisor counts as system time."""
    user, nice, system, _idle, _wait, hard, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return Cpu((user + nice) * _TICK_S, (system + hard + soft + steal) * _TICK_S)


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process, and those they start, on one core."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {core})


def _cpu(stat: Path) -> Cpu:
    # The name in brackets may hold blanks; utime and stime are fields 14 and 15 of the whole line.
    fields = stat.read_text().rpartition(")")[2].split()
    return Cpu(int(fields[11]) * _TICK_S, int(fields[12]) * _TICK_S)
