"""People who talk over HTTP to one real server process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.caller import Newcomers
from tests.support.caller import newcomers as of
from tests.support.server import Server


@pytest.fixture(scope="session")
def newcomers(server: Server) -> Iterator[Newcomers]:
    """Registers users; each test makes its own."""
    with of(server.url) as made:
        yield made
