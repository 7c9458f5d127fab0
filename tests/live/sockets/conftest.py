"""Users and connections on the shared server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.support.caller import Caller, Newcomers
from tests.support.caller import newcomers as of
from tests.support.line import Line
from tests.support.server import Server

OpenLine = Callable[..., Awaitable[Line]]
"""`(caller | None, resume=…, **options of Line.open)`: with a caller, the line is connected."""


@pytest.fixture(scope="session")
def newcomers(server: Server) -> Iterator[Newcomers]:
    with of(server.url) as made:
        yield made


@pytest.fixture
async def line(server: Server) -> AsyncIterator[OpenLine]:
    opened: list[Line] = []

    async def make(caller: Caller | None = None, *, resume: dict[str, int] | None = None, **options: Any) -> Line:
        made = await Line.open(server, **options)
        opened.append(made)
        if caller is not None:
            await made.connect(caller.token, resume)
        return made

    yield make
    for each in opened:
        each.hang_up()
