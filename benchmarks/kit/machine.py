"""The machine in words, so that a figure never stands without what it was measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import process_time

_ADDITIONS = 2_000_000
_paces: list[float] = []


@cache
def describe() -> dict[str, str]:
    """Date, machine and versions, each in words, as of the first call: make it when all is measured."""
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {_cores()}, {_memory_gib():.0f} GiB of memory{_virtual()}, {system}",
        "pace": f"{_pace()} ns of CPU for an addition in a Python loop: compare only runs of like pace",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(
            [f"SQLite {sqlite3.sqlite_version}"]
            + [f"{name} {version(name)}" for name in ("picows", "uvloop", "msgspec", "uvicorn")]
        ),
    }


def heading() -> str:
    """The same as lines for a terminal."""
    return "\n".join(f"{name:<10} {words}" for name, words in describe().items())


def take_pace() -> None:
    """Note how fast the core is right now: what else runs on the silicon may slow it down by half or more, and CPU
    time does not tell. `describe` shows the range of all that was noted, and of the moment itself."""
    began, total = process_time(), 0
    for number in range(_ADDITIONS):
        total += number
    _paces.append((process_time() - began) / _ADDITIONS * 1e9)


def _pace() -> str:
    take_pace()
    slowest, fastest = f"{max(_paces):.0f}", f"{min(_paces):.0f}"
    return fastest if fastest == slowest else f"{fastest} to {slowest}"


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> str:
    count = os.cpu_count() or 1
    return "1 core" if count == 1 else f"{count} cores"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _virtual() -> str:
    return ", virtual machine" if any("hypervisor" in line for line in _lines("/proc/cpuinfo")) else ""


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(errors="replace").splitlines() if file.exists() else []
