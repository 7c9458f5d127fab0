"""What the README tells people to type works, as it stands there, on a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import MakeServer
from tests.support.server import ROOT, Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def block(language: str) -> str:
    """The README's only block of code in a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(found)


def at(server: Server, code: str) -> str:
    """The same code, with the address of this server."""
    assert "127.0.0.1:8000" in code
    return code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")


def test_the_walk_with_curl_and_the_listener_in_python_do_what_they_say(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server().start()
    (tmp_path / "listen.py").write_text(at(server, block("python")))
    shell = f"set -eu\n{at(server, block('bash'))}\nexec {sys.executable} listen.py\n"
    with subprocess.Popen(
        ["bash", "-c", shell], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    ) as running:
        assert running.stdout is not None

        def answer() -> Any:
            assert running.stdout is not None
            read = json.loads(running.stdout.readline())
            assert "status" not in read, read  # a problem document
            return read

        said, repeated = answer(), answer()
        assert said["message"]["text"] == "Hello from curl!"
        assert repeated["message"] == said["message"]
        assert [message["text"] for message in answer()["items"]] == ["Hello from curl!"]
        assert [item["event"]["type"] for item in answer()["items"]] == ["chat.created", "message.sent"]

        frames = [answer() for _ in range(5)]  # ack and own event come in either order
        running.send_signal(signal.SIGINT)
    assert frames[0]["type"] == "connected"
    assert [frame["type"] for frame in frames].count("ack") == 1
    events = [frame["event"] for frame in frames if frame["type"] == "event"]
    assert [event["type"] for event in events] == ["chat.created", "message.sent", "message.sent"]
    assert [event["data"].get("text") for event in events[1:]] == ["Hello from curl!", "Hello from Python!"]


def test_the_example_in_python_is_as_short_as_it_promises() -> None:
    code = [line for line in block("python").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(code) <= 10


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^\| `([a-z]+(?: [a-z]+)?)", README, re.MULTILINE))))
def test_every_command_that_it_names_exists(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", *command.split(), "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"Usage: tidings {command}" in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_document_links_to_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link.partition("#")[0]).exists()] == []


def test_every_decision_has_a_page_and_every_page_is_listed() -> None:
    listed = re.findall(
        r"^\| \[(\d{4})\]\((\d{4}-[\w-]+\.md)\)", (ROOT / "docs/adr/README.md").read_text(), re.MULTILINE
    )
    pages = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    assert [name for _, name in listed] == pages
    assert all(name.startswith(number) for number, name in listed)
    rooms = ("events", "commands", "projections", "streams", "api", "infra")
    cited = {
        number
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for number in re.findall(r"ADR (\d{4})", path.read_text(encoding="utf-8"))
    }
    assert cited <= {number for number, _ in listed}
