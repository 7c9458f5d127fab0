"""What docs/operating.md tells people to type works, as it stands there, on a real cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from time import monotonic

import pytest

from tests.live.cluster.conftest import Local
from tests.support.caller import new_id, newcomers
from tests.support.server import ROOT

pytestmark = [
    pytest.mark.needs("kafka", "cassandra", "redis", "postgres", "haproxy", "kcat"),
    pytest.mark.timeout(300),
]
PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def commands(section: str) -> str:
    """All that a section tells people to type, as one script that ends at the first failure."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return "\n".join(["set -euo pipefail", *blocks])


def typed(local: Local, script: str, tmp_path: Path) -> str:
    """Run a script where `./dev` is ours and does no set-up; gives its stdout."""
    dev = tmp_path / "dev"
    dev.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m infra.cli "$@"\n')
    dev.chmod(0o755)
    dev.with_name("tidings").symlink_to(dev)
    psql = next(Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/bin"))
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}:{psql}"
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**local.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_cluster_is_started_looked_at_broken_and_mended(local: Local, tmp_path: Path) -> None:
    # The numbers of the test's cluster are smaller than those of the page.
    out = typed(local, commands("A cluster on this machine"), tmp_path)
    assert out.startswith(local.url)
    assert '"name": "kafka-1"' in out
    assert {service["state"] for service in local.status().values()} == {"running"}


def test_one_sees_what_was_said(local: Local, tmp_path: Path) -> None:
    with newcomers(local.url) as made:
        ana, ben = made(), made()
        chat_id = ana.direct(ben)
        ana.say(chat_id, "hello")
        out = typed(local, commands("Look inside"), tmp_path)
    assert 'topic "chat-events" with 4 partitions' in out
    assert re.search(rf"^\d+:\d+ {chat_id} \S*type=message.sent\S* ", out, re.MULTILINE)
    assert "hello" not in out, "bodies are sealed"
    # The cluster is shared, so the first rows may be of other chats.
    assert re.search(r"^ +[0-9a-f-]{36} \| +(direct|group) \|", out, re.MULTILINE)
    assert re.search(r"\| +message.sent \|", out)
    assert re.search(r"^\([1-9]\d* rows?\)$", out, re.MULTILINE), "PostgreSQL's users"
    assert json.loads(out.splitlines()[-1])["degraded"] == []


def test_a_store_that_has_lost_everything_is_filled_anew(local: Local, tmp_path: Path) -> None:
    with newcomers(local.url) as made:
        ana, ben = made(), made()
        chat_id = ana.direct(ben)
        ana.say(chat_id, "before")
        said = 1
        with ThreadPoolExecutor(1) as thread:
            lost = thread.submit(typed, local, commands("Loss of a store"), tmp_path)
            while not wait([lost], timeout=0.3).done:
                body = {"message_id": new_id(), "kind": "TEXT", "text": "meanwhile"}
                answer = ana.post(f"/chats/{chat_id}/messages", body)
                assert answer.status_code in (201, 202), answer.text
                said += 1
        assert " lag " in lost.result()
        until = monotonic() + 60
        while True:
            shown = ben.get(f"/chats/{chat_id}")
            if shown.status_code == 200 and shown.json()["chat"]["head_seq"] == said + 1:  # its creation is the first
                break
            assert monotonic() < until, f"not all of {said} came back: {shown.text}"
        assert ben.read(f"/chats/{chat_id}/events")["items"][1]["event"]["data"]["text"] == "before"
    assert {service["state"] for service in local.status().values()} == {"running"}


def test_every_block_of_commands_is_one_that_is_run() -> None:
    assert set(re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)) == {"bash"}
    sections = [title for title, text in SECTIONS.items() if "```bash" in text]
    assert sections == [
        "A cluster on this machine",
        "Look inside",
        "Read models",
        "Loss of a store",
        "Backup and restore",
    ], "a new section with commands needs a test here"
