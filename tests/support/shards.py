"""All tests in some shards beside each other: `./dev test --shards 2`, or one of them by `--shard 1/2`.

Most of what live tests take is waiting: for services to start, for time-outs to pass. Every test belongs to exactly one
shard, and tests that share costly services to the same one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from time import monotonic

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".pytest_cache"
LAST_FAILED = Path("v/cache/lastfailed")
NO_TESTS = 5
"""Exit status of pytest where a shard has none of the tests that were asked for."""

SECONDS: Mapping[str, float] = {
    "tests/live/cluster": 500,
    "tests/live/gateways": 400,
}
"""About how long a folder or file takes, where that is much. Others count for a few."""
FEW_S = 5.0
TELL_S = 60.0
"""Between two words on how far the shards are."""


def group_of(path: str) -> str:
    """What must stay together with a test file: the folders of live tests share what their tests run on."""
    parts = path.split("/")
    return "/".join(parts[:3]) if parts[:2] == ["tests", "live"] else path


def deal(paths: Iterable[str], shards: int) -> dict[str, int]:
    """Group of test files → shard, from 0 on: the longest first, each to the shard that has least."""
    files: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        files[group_of(path)].add(path)
    seconds = {group: SECONDS.get(group, FEW_S * len(some)) for group, some in files.items()}
    loads = [0.0] * shards
    dealt: dict[str, int] = {}
    for group in sorted(seconds, key=lambda group: (-seconds[group], group)):
        shard = loads.index(min(loads))
        loads[shard] += seconds[group]
        dealt[group] = shard
    return dealt


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", metavar="K/N", help="only the K-th of N parts of the tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("--shard")
    if asked is None:
        return
    number, shards = map(int, asked.split("/"))
    paths = {item: item.path.relative_to(config.rootpath).as_posix() for item in items}
    dealt = deal(paths.values(), shards)
    mine = [item for item in items if dealt[group_of(paths[item])] == number - 1]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
    items[:] = mine


def run(shards: int, arguments: list[str]) -> int:
    """Run pytest once for each shard. What one printed comes whole, when it has ended; until then, how far it is."""
    progress = dict.fromkeys(range(1, shards + 1), "")

    def shard(number: int) -> tuple[int, int, str, float]:
        began, printed = monotonic(), []
        command = [sys.executable, "-m", "pytest", f"--shard={number}/{shards}", "-o", f"cache_dir={_cache(number)}"]
        with subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as ran:
            assert ran.stdout is not None, "it is a pipe"
            for line in ran.stdout:
                printed.append(line)
                if found := re.search(r"\[ *(\d+%)\]$", line):
                    progress[number] = found[1]
        return number, ran.returncode, "".join(printed), monotonic() - began

    statuses = []
    with ThreadPoolExecutor(shards) as threads:
        running = {threads.submit(shard, number) for number in range(1, shards + 1)}
        while running:
            ended, running = wait(running, timeout=TELL_S, return_when=FIRST_COMPLETED)
            for number, status, printed, seconds in (each.result() for each in ended):
                print(f"== shard {number} of {shards}, {seconds:.0f} s, exit status {status}\n{printed}", flush=True)
                statuses.append(status)
            if not ended:
                print("shards:", ", ".join(each or "beginning" for each in progress.values()), flush=True)
    failed = {name: True for number in range(1, shards + 1) for name in _read(_cache(number) / LAST_FAILED)}
    (CACHE / LAST_FAILED).parent.mkdir(parents=True, exist_ok=True)
    # For `./dev test --last-failed`, which knows nothing of shards.
    (CACHE / LAST_FAILED).write_text(json.dumps(failed))
    if all(status == NO_TESTS for status in statuses):
        return NO_TESTS
    return max(0 if status == NO_TESTS else status for status in statuses)


def _cache(number: int) -> Path:
    return CACHE / f"shard-{number}"


def _read(path: Path) -> dict[str, bool]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
