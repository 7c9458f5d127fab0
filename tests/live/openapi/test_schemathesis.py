"""Requests made up from the OpenAPI document, valid and not, against a real server: every answer is documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.conftest import MakeServer
from tests.support.caller import Newcomers, newcomers
from tests.support.pictures import picture
from tests.support.server import ROOT

SECONDS = 45
CONFIG = """
hooks = "tests.live.openapi.hooks"
seed = 1

[warnings]
fail-on = true

[output.sanitization]
enabled = false

[generation]
max-examples = 15
database = "none"

[phases.stateful]
enabled = true
"""


OPERATORS = "/v1/admin/"
"""Left out: what is asked for there is done, by processes that would take all the time. See test_admin.py."""


def world(made: Newcomers) -> dict[str, str]:
    """What the requests are about: somebody with chats and messages."""
    ana, ben = made.some("ana", "ben")
    room = ana.group(ben)
    return {
        "url": str(made.http.base_url).rstrip("/"),
        "token": ana.token,
        "session": ana.read("/sessions")["items"][0]["session_id"],
        "me": ana.user_id,
        "username": ana.read("/me")["username"],
        "other": ben.user_id,
        "room": room,
        "hall": ana.group(open=True),
        "pair": ana.direct(ben),
        "file": ana.upload(picture(), "holiday.jpg")["file_id"],
        "said": ana.say(room)["message_id"],
    }


@pytest.mark.timeout(180)
def test_every_answer_is_as_documented(make_server: MakeServer, tmp_path: Path) -> None:
    with make_server() as server, newcomers(server.url) as made:
        known = world(made)
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{server.url}/openapi.json", "--max-time", str(SECONDS), "--no-color"]
        command += ["--exclude-path-regex", f"^{OPERATORS}"]
        environment = {
            **os.environ,
            "SCHEMATHESIS_WORLD": json.dumps(known),
            "PYTHONPATH": str(ROOT),
        }
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        paths = made.http.get("/openapi.json").json()["paths"]
        operations = sum(len(methods) for path, methods in paths.items() if not path.startswith(OPERATORS))
        assert f"Tested: {operations}" in run.stdout, run.stdout
        assert server.is_running
