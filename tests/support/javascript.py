"""Runs `*.test.js` and `*.test.mjs` under Node's own test runner, each file as one test of this run."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest._code.code import TerminalRepr

from tests.support.needs import require

SUFFIXES = (".test.js", ".test.mjs")
PATIENCE_S = 120
RUNNER = Path(__file__).with_name("run_tests.mjs")


class NodeFailure(Exception):
    """Node's test runner failed; the message is what it printed."""


def count(output: str, *names: str) -> int:
    """Return the sum of the named counts (`tests`, `skipped` …) in the closing lines of TAP output."""
    return sum(map(int, re.findall(rf"^# (?:{'|'.join(names)}) (\d+)$", output, re.MULTILINE)))


class NodeTest(pytest.Item):
    def setup(self) -> None:
        self.node = require("node")

    def runtest(self) -> None:
        """Raises NodeFailure if a test fails or the file holds none. A skipped one leaves the whole file out."""
        run = subprocess.run(
            [self.node, "--test-reporter=tap", RUNNER, self.path],
            cwd=self.config.rootpath,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if run.returncode != 0:
            raise NodeFailure(run.stdout.removeprefix("TAP version 13\n") + run.stderr)
        if not count(run.stdout, "tests"):
            raise NodeFailure(f"{self.path.name} holds no test\n{run.stdout}{run.stderr}")
        if skipped := count(run.stdout, "skipped", "todo"):
            pytest.skip(f"{skipped} tests in {self.path.name} are marked skip or todo")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str | TerminalRepr:
        return str(excinfo.value) if isinstance(excinfo.value, NodeFailure) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class NodeFile(pytest.File):
    def collect(self) -> Iterator[NodeTest]:
        yield NodeTest.from_parent(self, name="node")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> NodeFile | None:
    return NodeFile.from_parent(parent, path=file_path) if file_path.name.endswith(SUFFIXES) else None
