"""What docs/operating.md says of read models works as it stands there, on a running server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.layout import log_file, views_file
from tests.live.conftest import MakeServer
from tests.live.generations.test_dead_letters import poison
from tests.live.generations.test_rebuilding import make, talk
from tests.support.cli import run
from tests.support.history import ROOM
from tests.support.server import ROOT

PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
MAY_FAIL = ("dead-letters retry", "dead-letters discard")
"""The chat of this test has two poisoned events, so neither command releases it yet."""


def test_what_was_backed_up_is_restored_as_the_page_says(stopped: Path, tmp_path: Path) -> None:
    section = PAGE.split("\n## Backup and restore\n")[1].split("\n## ")[0]
    [block] = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    tidings = f'tidings() {{ PYTHONPATH="{ROOT}" "{sys.executable}" -m infra.cli "$@"; }}'
    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{tidings}\n{block}"],
        cwd=tmp_path,
        env={**os.environ, "TIDINGS_DATA": str(stopped)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "5 users, 45 events; 0 erased again" in done.stdout
    assert log_file(tmp_path / "RESTORED").exists()


def commands() -> list[str]:
    section = PAGE.split("\n## Read models\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.timeout(180)
def test_every_command_on_read_models_does_what_the_page_says(make_server: MakeServer) -> None:
    server = make_server()
    server.data.mkdir(parents=True, exist_ok=True)
    make(server.data, talk())
    poison(server.data)
    server.start()
    for command in commands():
        name, *arguments = command.replace("CHAT_ID", ROOM).split()
        assert name == "tidings"
        done = run(server.data, *arguments)
        assert done.status == int(command.removeprefix("tidings ").startswith(MAY_FAIL)), (command, done)
    assert "still parked at 0:14" in run(server.data, "dead-letters", "retry", ROOM).stdout
    assert [n for n in range(1, 5) if views_file(server.data, n).exists()] == [1]
