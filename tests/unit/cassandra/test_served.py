"""A gateway and the generation that it reads: moving, going back while it waits, and being known to the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

import infra.cassandra.served
from commands.errors import Unavailable
from infra.cassandra.generations import READER_S
from infra.cassandra.served import RegisteredViews


class Registry:
    """Also the views of each generation, as far as they are folded, and the clock."""

    def __init__(self) -> None:
        self.serves: int | None = 1
        self.told: list[int] = []
        self.asked = 0
        self.positions: dict[int, dict[int, int]] = {1: {0: 100}, 2: {0: 10}}
        self.moments = 0
        self.on_moment: Callable[[int], None] = lambda moment: None

    def keyspace(self, generation: int) -> str:
        return str(generation)

    async def served(self) -> int | None:
        self.asked += 1
        return self.serves

    async def tell(self, name: str, generation: int) -> None:
        assert name == "gateway-1"
        self.told.append(generation)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    loop_time = 1_000.0

    class Loop:
        def time(self) -> float:
            return loop_time

    class Asyncio:
        """What waits moves the clock instead."""

        @staticmethod
        def get_running_loop() -> Loop:
            return Loop()

        @staticmethod
        async def sleep(seconds: float) -> None:
            nonlocal loop_time
            loop_time += seconds
            registry.moments += 1
            assert registry.moments < 10_000, "it waits for ever"
            registry.on_moment(registry.moments)
            await asyncio.sleep(0)

    class Views:
        def __init__(self, keyspace: str) -> None:
            self.generation = int(keyspace)

        async def reached(self) -> dict[int, int]:
            return registry.positions[self.generation]

    monkeypatch.setattr(infra.cassandra.served, "asyncio", Asyncio)
    monkeypatch.setattr(infra.cassandra.served, "Keyspace", lambda connection, name: name)
    monkeypatch.setattr(infra.cassandra.served, "CassandraChatViews", Views)
    return registry


def gateway(registry: Registry) -> RegisteredViews:
    views = RegisteredViews(cast(Any, None), cast(Any, registry), "gateway-1")
    views.told = lambda: [(0, 100)]
    return views


async def current(views: RegisteredViews) -> int:
    return cast(Any, await views.now()).generation  # type: ignore[no-any-return]


async def test_a_gateway_moves_once_the_other_generation_has_all_that_its_readers_know(registry: Registry) -> None:
    views = gateway(registry)
    await views.look()
    assert (await current(views), registry.told) == (1, [1])
    registry.serves = 2

    def fold(moment: int) -> None:
        registry.positions[2] = {0: min(100, 10 + moment // 10)}

    registry.on_moment = fold
    await views.look()
    assert (await current(views), views.generation) == (2, 2)
    assert registry.moments >= 900
    assert registry.told[-1] == 2
    # While it waited it said, again and again, which one its readers used.
    waited_s = registry.moments * 0.05
    assert registry.told[:-1].count(1) >= waited_s // READER_S
    assert set(registry.told[:-1]) == {1}


async def test_a_rollback_is_heard_of_while_a_gateway_waits(registry: Registry) -> None:
    views = gateway(registry)
    await views.look()
    registry.serves = 2

    def roll_back(moment: int) -> None:
        if moment == 500:
            registry.serves = 1

    registry.on_moment = roll_back
    await views.look()
    assert (await current(views), views.generation, set(registry.told)) == (1, 1, {1})


async def test_a_third_generation_may_take_the_place_of_one_that_is_waited_for(registry: Registry) -> None:
    views = gateway(registry)
    await views.look()
    registry.serves = 2
    registry.positions[3] = {0: 100}

    def switch(moment: int) -> None:
        if moment == 200:
            registry.serves = 3

    registry.on_moment = switch
    await views.look()
    assert (await current(views), views.generation) == (3, 3)
    assert 2 not in registry.told


async def test_before_anything_is_served_a_gateway_says_so(registry: Registry) -> None:
    registry.serves = None
    with pytest.raises(Unavailable):
        await gateway(registry).now()
    assert registry.told == []
