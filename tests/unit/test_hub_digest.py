"""What a hub does when it hears how far chats have come in the views."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from events.types import ChatCreated
from tests.support.history import ANA, BEN, ROOM
from tests.support.world import World, settle


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = await World.begin()
    await made.happen(BEN, ROOM, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    yield made
    await made.end()


async def test_a_lost_last_message_is_fetched(world: World) -> None:
    ana = await world.connect(ANA)
    await world.happen(BEN, ROOM, await world.message(BEN, ROOM))
    world.unpublished.clear()
    world.hub.on_digest({ROOM: 2, "somebody else's": 9})
    await settle()
    assert ana.events(ROOM) == [2]


async def test_a_head_that_is_known_costs_nothing(world: World) -> None:
    ana = await world.connect(ANA)
    await world.publish()
    await world.tell(BEN, ROOM, await world.message(BEN, ROOM))
    before = world.hub.shared.counters.fills
    world.hub.on_digest({ROOM: 2})
    world.hub.on_digest({ROOM: 1})
    await settle()
    assert (ana.events(ROOM), world.hub.shared.counters.fills) == ([2], before)


async def test_a_head_told_while_a_chat_is_being_opened_is_not_forgotten(world: World) -> None:
    world.views.gate.is_open = False
    world.views.stale = lambda: True  # what is asked now is answered as of now, later
    ana = await world.connect(ANA)
    world.views.gate.let_through()  # the list of chats
    await settle()
    assert world.hub.chats[ROOM].cursor < 0
    await world.happen(BEN, ROOM, await world.message(BEN, ROOM))
    world.unpublished.clear()
    world.hub.on_digest({ROOM: 2})
    world.views.gate.open()
    await settle()
    (connected,) = ana.link.of("connected")
    assert connected["chats"][ROOM]["head_seq"] == 1
    assert ana.events(ROOM) == [2]
