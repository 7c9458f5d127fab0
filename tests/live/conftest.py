"""Servers for live tests: one that a whole run shares, and a maker of others."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import started
from tests.support.server import Server

MakeServer = Callable[..., Server]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server that all tests share: make users and chats of your own, and leave it running."""
    with Server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Makes servers of a test's own, not yet started; takes what `Server` takes after `data`. Kills what is left."""
    made: list[Server] = []

    def make(*arguments: object, **options: object) -> Server:
        made.append(Server(tmp_path / f"data{len(made)}", *arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a demo that has been stopped, only to be read."""
    data = tmp_path_factory.mktemp("stopped") / "data"
    with started(data, "serve", "--port", "0", "--demo") as serving:
        serving.line()
        serving.end(signal.SIGTERM)
    return data


@pytest.fixture
def left(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    shutil.copytree(stopped, tmp_path / "left")
    return tmp_path / "left"
