"""People on both gateways of the shared cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.live.gateways.unrest import spread
from tests.support.caller import Caller, Newcomers
from tests.support.caller import newcomers as of
from tests.support.cluster import Cluster
from tests.support.line import Line
from tests.support.server import Server
from tests.support.town import Town

OpenLine = Callable[[Server, Caller], Awaitable[Line]]


@pytest.fixture(scope="session")
def newcomers(cluster: Cluster) -> Iterator[Newcomers]:
    """Registers users at the first gateway."""
    with of(cluster.gateways[0].url) as made:
        yield made


@pytest.fixture
async def line(cluster: Cluster) -> AsyncIterator[OpenLine]:
    """Connects somebody to a gateway."""
    opened: list[Line] = []

    async def make(gateway: Server, caller: Caller) -> Line:
        made = await Line.open(gateway)
        opened.append(made)
        await made.connect(caller.token)
        return made

    yield make
    for each in opened:
        each.hang_up()


@pytest.fixture
async def town(cluster: Cluster) -> Town:
    return await spread(cluster)
