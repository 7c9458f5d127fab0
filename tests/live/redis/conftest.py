"""A Redis server that a test may kill and hold, and processes that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from infra.cluster.redis import Redis
from tests.support.needs import require
from tests.support.redis import Processes, processes


@pytest.fixture
def own_redis(service_folder: Path, tmp_path: Path) -> Iterator[Redis]:
    """Not started yet."""
    require("redis")
    server = Redis(service_folder / f"redis-{tmp_path.name}")
    yield server
    server.kill()


@pytest.fixture
async def around(own_redis: Redis) -> AsyncIterator[Processes]:
    """Processes around a server of their own, which runs."""
    own_redis.start()
    async with processes(own_redis.url, uuid4().hex) as each:
        yield each
