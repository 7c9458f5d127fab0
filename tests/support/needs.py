"""Programs that some tests need, and what becomes of those tests on a machine without them.

A test says `@pytest.mark.needs("chromium")`, or a fixture calls `require("chromium")` and gets the program's
path. Without the program the test is left out, and the end of the run says so, why, and how to mend it. With
TIDINGS_REQUIRE_ALL=1, as in CI, every test left out, for whatever reason, is a failure. Expected failures
(`xfail`) did run, so they are not left out.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache, partial

import pytest

from infra.cluster.jars import CASSANDRA_JARS, KAFKA_JARS, Bundle, cached
from infra.cluster.programs import (
    ProgramMissing,
    find_haproxy,
    find_java,
    find_maven,
    find_postgres,
    find_redis,
)

STRICT = "TIDINGS_REQUIRE_ALL"


class Lacking(Exception):
    """The machine lacks a program; the message says what and how to mend it."""


def find_program(names: tuple[str, ...], title: str, mend: str) -> str:
    """Return the path of the first of `names` on the PATH. Raises Lacking."""
    for name in names:
        if path := shutil.which(name):
            return path
    raise Lacking(f"{title} is missing; {mend}")


def find_chromium() -> str:
    """Return the path of a Chromium that Playwright can drive. Raises Lacking."""
    return find_program(
        ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
        "Chromium",
        "on Debian: sudo apt-get install chromium",
    )


def find_node() -> str:
    """Return the path of a Node.js with a test runner (18.18 or later). Raises Lacking."""
    mend = "Debian's package nodejs has it"
    path = find_program(("node", "nodejs"), "Node.js", mend)
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    parts = re.match(r"v(\d+)\.(\d+)\.", version)
    if parts is None or (int(parts[1]), int(parts[2])) < (18, 18):
        raise Lacking(f"Node.js 18.18 or later is missing (this is {version}); {mend}")
    return path


def find_strace() -> str:
    """Return the path of an strace that may trace what it starts. Raises Lacking."""
    path = find_program(("strace",), "strace", "on Debian: sudo apt-get install strace")
    run = subprocess.run([path, "-D", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Lacking(f"strace cannot trace here (containers need CAP_SYS_PTRACE): {run.stderr.strip()[:200]}")
    return path


@dataclass(frozen=True, slots=True)
class Found:
    """Where a program is, or why it cannot be used: exactly one of the two is set."""

    path: str | None
    lacking: str | None


def find_jars(bundle: Bundle) -> str:
    """Return where a service's jars are, or the Maven that can fetch them. Raises Lacking."""
    find_java()
    folder = cached(bundle)
    return find_maven() if folder is None else str(folder)


FINDERS: dict[str, Callable[[], object]] = {
    "chromium": find_chromium,
    "node": find_node,
    "strace": find_strace,
    "kafka": partial(find_jars, KAFKA_JARS),
    "cassandra": partial(find_jars, CASSANDRA_JARS),
    "redis": find_redis,
    "postgres": find_postgres,
    "haproxy": find_haproxy,
    "kcat": partial(find_program, ("kcat", "kafkacat"), "kcat", "on Debian: sudo apt-get install kcat"),
}


@cache
def look_for(name: str) -> Found:
    """Look for a program once in a run. Raises KeyError for a name that is not in FINDERS."""
    try:
        return Found(str(FINDERS[name]()), None)
    except (Lacking, ProgramMissing) as lacking:
        return Found(None, str(lacking))


def require(name: str) -> str:
    """Return the path of a program, or leave the calling test out."""
    found = look_for(name)
    if found.path is None:
        pytest.skip(found.lacking or name)
    return found.path


def is_strict() -> bool:
    return os.environ.get(STRICT, "") not in ("", "0")


def left_out_reason(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Return why a test (or a module of tests) did not run, None if it ran or is expected to fail."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def fail_if_left_out(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report of something left out into a failure when nothing may be left out."""
    reason = left_out_reason(report)
    if reason is not None and is_strict():
        report.outcome = "failed"
        report.longrepr = f"Left out, and {STRICT} allows no test to be left out: {reason}"


def pytest_configure(config: pytest.Config) -> None:
    names = ", ".join(sorted(FINDERS))
    config.addinivalue_line("markers", f"needs(*programs): leave the test out without these programs ({names})")
    config.addinivalue_line("markers", "heavy: minutes long; `./dev test -m heavy` runs those, and nothing else does")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            require(name)


# First in line, so that what follows each yield sees the other plugins' last word, xfail's for one.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_left_out(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_left_out(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # All categories, not only "skipped": pytest files skipped subtests elsewhere.
    reports = [report for group in terminalreporter.stats.values() for report in group]
    seen = [report for report in reports if isinstance(report, pytest.TestReport | pytest.CollectReport)]
    reasons = Counter(filter(None, map(left_out_reason, seen)))
    if not reasons:
        return
    terminalreporter.section(f"LEFT OUT: {reasons.total()}", sep="!", yellow=True, bold=True)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} not run: {reason}", yellow=True)
    terminalreporter.write_line(f"{STRICT}=1 makes this a failure.", yellow=True)
