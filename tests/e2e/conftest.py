"""A server, a browser and people at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Person, chromium
from tests.support.caller import Newcomers, newcomers
from tests.support.needs import require
from tests.support.server import Server

People = Callable[..., Person]


DEMO = ("sh", "-c", 'exec "$@" --demo', "sh")
"""Runs the command that follows with one more option."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with demo users beside those that the tests make."""
    with Server(tmp_path_factory.mktemp("server") / "data", wrapper=DEMO) as running:
        yield running


@pytest.fixture(scope="module")
def newcomer(server: Server) -> Iterator[Newcomers]:
    with newcomers(server.url) as register:
        yield register


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module: while Playwright runs, no other event loop can."""
    with chromium(require("chromium")) as running:
        yield running


@pytest.fixture
def person(server: Server, browser: Browser, newcomer: Newcomers) -> Iterator[People]:
    """Makes signed-in people: `person("Ana", url=…, size=…)`. No page of theirs may have raised an error."""
    made: list[Person] = []

    def make(name: str, *, url: str | None = None, size: dict[str, int] | None = None) -> Person:
        made.append(Person(browser, newcomer(name), url or server.url, size))
        made[-1].sign_in()
        return made[-1]

    yield make
    faults = [fault for one in made for fault in one.faults]
    for one in made:
        one.context.close()
    assert faults == []
