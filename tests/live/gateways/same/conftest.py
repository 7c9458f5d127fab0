"""The suites of the embedded server, run on a gateway of the shared cluster: modules here only name the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.sockets.conftest import line as line
from tests.support.caller import Newcomers
from tests.support.caller import newcomers as of
from tests.support.cluster import Cluster
from tests.support.server import Server


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> Server:
    """Stands for the embedded one."""
    return cluster.gateways[0]


@pytest.fixture(scope="session")
def newcomers(server: Server) -> Iterator[Newcomers]:
    with of(server.url) as made:
        yield made
