"""Marks on their way into the log: few events, every caller answered, nobody's mistake another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from commands.errors import BeyondHead, Unavailable
from commands.receipts import MAX_WINDOW_S, WINDOW_S, MarkKind, window_s
from events.codec import decode
from events.log import Position
from events.types import ChatCreated, ChatRetitled, Data, MessageDelivered, MessageRead
from tests.support.history import ANA, BEN, ROOM
from tests.support.world import World, settle, settled_after


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A chat at seq 4, followed here, with its state at hand."""
    world = await World.begin()
    await world.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    await world.happen(ANA, ROOM, *[ChatRetitled(str(number)) for number in range(3)])
    world.unpublished.clear()
    world.progress.advance(0, 4)
    await world.connect(BEN)
    await world.hub.load(ROOM)
    yield world
    await world.end()


def written(world: World) -> list[Data]:
    """The data of what came after the chat was set up."""
    return [decode(record.value).event.data for record in world.log.records[4:]]


def mark(world: World, kind: MarkKind, seq: int, user_id: str = BEN) -> asyncio.Task[Position]:
    return asyncio.create_task(world.receipts.mark(user_id, ROOM, kind, seq))


async def after(world: World, seconds: float) -> None:
    await settled_after(world.timers, seconds, step_s=0.02)
    await world.turn()


async def test_many_marks_of_one_user_become_one_event_and_all_are_answered(world: World) -> None:
    marks = [mark(world, "read", seq) for seq in (2, 4, 3)] + [mark(world, "delivered", 4)]
    await settle()
    await after(world, WINDOW_S - 0.02)
    assert written(world) == []
    await after(world, 0.06)
    assert written(world) == [MessageRead(4)]
    assert await asyncio.gather(*marks) == [Position(0, 4)] * 4


async def test_delivered_beyond_read_takes_an_event_of_its_own(world: World) -> None:
    marks = [mark(world, "read", 2), mark(world, "delivered", 3)]
    await settle()
    await after(world, 0.2)
    assert written(world) == [MessageDelivered(3), MessageRead(2)]
    assert await asyncio.gather(*marks) == [Position(0, 5)] * 2


async def test_users_do_not_share_a_window(world: World) -> None:
    await world.connect(ANA)
    marks = [mark(world, "read", 4), mark(world, "read", 3, ANA)]
    await settle()
    await after(world, 0.2)
    assert len(await asyncio.gather(*marks)) == 2
    assert written(world) == [MessageRead(4), MessageRead(3)]


async def test_a_mark_that_moves_nothing_is_answered_and_not_written(world: World) -> None:
    waiting = mark(world, "read", 1)
    await settle()
    await after(world, 0.2)
    assert await waiting == Position(0, 3)
    assert written(world) == []


async def test_marks_refused_together_are_judged_one_by_one(world: World) -> None:
    world.hub.drop(world.hub.chats[ROOM])  # without the state at hand nothing tells at once that one is wrong
    right, wrong = mark(world, "read", 3), mark(world, "read", 99)
    await settle()
    await after(world, 0.2)
    await settled_after(world.timers, 1)
    await world.turn()
    assert (await right).offset == 4
    with pytest.raises(BeyondHead):
        await wrong
    assert written(world) == [MessageRead(3)]


async def test_a_log_that_is_away_fails_all_that_were_gathered(world: World) -> None:
    world.log.is_down = True
    marks = [mark(world, "delivered", 4), mark(world, "read", 3)]
    await settle()
    await after(world, 0.2)
    assert [type(result) for result in await asyncio.gather(*marks, return_exceptions=True)] == [Unavailable] * 2


async def test_closing_sends_on_what_waits(world: World) -> None:
    waiting = mark(world, "read", 4)
    await settle()
    await world.receipts.close()
    await world.turn()
    assert written(world) == [MessageRead(4)]
    assert await waiting == Position(0, 4)


def test_larger_groups_gather_longer_up_to_a_bound() -> None:
    assert window_s(2) == window_s(10) == WINDOW_S
    assert window_s(50) == pytest.approx(5 * WINDOW_S)
    assert window_s(5_000) == MAX_WINDOW_S
