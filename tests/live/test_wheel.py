"""What is installed from the wheel, in a folder that has nothing to do with the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caller import newcomers
from tests.support.pictures import SECRET, picture
from tests.support.server import ROOT, Server


class Installed(Server):
    """A server of an installed package, started where the user happens to be, on a relative data folder."""

    def __init__(self, home: Path, package: Path) -> None:
        super().__init__(home / "data")
        self.home = home
        self._package = package

    def start(self, *, wait: bool = True) -> Server:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.cli", "serve", "--data", "data", "--port", str(self.port)],
                cwd=self.home,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_ready()
        return self

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(self._package)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "package")
    (folder / "home").mkdir()
    running = Installed(folder / "home", folder / "package")
    with running:
        yield running


def test_a_photo_is_taken_wherever_the_server_was_started(installed: Installed) -> None:
    with newcomers(installed.url) as made:
        ana = made("ana")
        file = ana.upload(picture(size=(90, 60)), "party.jpg")
        assert (file["content_type"], file["width"], file["height"]) == ("image/jpeg", 90, 60)
        content = made.http.get(
            f"/v1/files/{file['file_id']}", headers={"Authorization": f"Bearer {ana.token}"}
        ).content
        assert SECRET not in content
    assert sorted(path.name for path in installed.home.iterdir()) == ["data", "data.output"]
    assert (installed.data / "log.db").exists()


def test_all_that_is_started_is_of_the_wheel(installed: Installed) -> None:
    """The picture worker too, and it finds what it imports there."""
    workers = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"infra.files.image_worker" in _read(path) and _parent(path) == installed.pid
    ]
    assert workers
    for path in workers:
        assert os.readlink(path.with_name("cwd")) == str(installed._package)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _parent(path: Path) -> int:
    return int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
