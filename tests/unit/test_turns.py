"""Turns: nobody waits for all that another has brought, and nothing is lost or served twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import RateLimited
from infra.files.turns import Turns


class Hall:
    """Who is served, in order; each stays until told to go."""

    def __init__(self, slots: int, each: int, waiting: int = 100) -> None:
        self.turns = Turns(slots, each, waiting)
        self.order: list[str] = []
        self.inside: Counter[str] = Counter()
        self.doors: list[asyncio.Event] = []

    def come(self, user: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._visit(user))

    async def _visit(self, user: str) -> None:
        async with self.turns.turn(user):
            self.order.append(user)
            self.inside[user] += 1
            door = asyncio.Event()
            self.doors.append(door)
            try:
                await door.wait()
            finally:
                self.inside[user] -= 1

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def let_one_go(self) -> None:
        self.doors.pop(0).set()
        await self.settle()


async def finish(hall: Hall, tasks: list[asyncio.Task[None]]) -> None:
    while hall.doors:
        await hall.let_one_go()
    await asyncio.gather(*tasks)


async def test_users_are_served_in_turns() -> None:
    hall = Hall(1, 1)
    tasks = [hall.come(user) for user in "aaaabbc"]
    await hall.settle()
    await finish(hall, tasks)
    assert "".join(hall.order) == "aabcaba"


async def test_one_user_never_has_all_the_slots() -> None:
    hall = Hall(2, 1)
    tasks = [hall.come("a") for _ in range(40)]
    await hall.settle()
    assert hall.inside["a"] == 1
    tasks.append(hall.come("b"))
    await hall.settle()
    assert hall.inside["b"] == 1
    for _ in range(5):
        await hall.let_one_go()
        assert hall.inside["a"] == 1
    await finish(hall, tasks)


async def test_more_than_so_many_of_one_user_do_not_wait() -> None:
    hall = Hall(1, 1, waiting=2)
    tasks = [hall.come("a") for _ in range(3)]
    await hall.settle()
    with pytest.raises(RateLimited):
        await hall.come("a")
    tasks.append(hall.come("b"))
    await hall.settle()
    await finish(hall, tasks)
    assert sorted(hall.order) == ["a", "a", "a", "b"]


async def test_what_is_given_up_leaves_no_trace() -> None:
    hall = Hall(1, 1)
    first, second, third = (hall.come(user) for user in "abc")
    await hall.settle()
    second.cancel()
    await hall.settle()
    await hall.let_one_go()
    assert hall.order == ["a", "c"]
    # Given up in the very moment in which its turn came.
    late = hall.come("d")
    await hall.settle()
    hall.doors.pop(0).set()
    await asyncio.sleep(0)
    late.cancel()
    await hall.settle()
    last = hall.come("e")
    await hall.settle()
    assert hall.order[-1] == "e"
    await finish(hall, [first, third, last])


async def test_a_failure_gives_its_slot_back() -> None:
    turns = Turns(1, 1, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("a"):
                raise ZeroDivisionError


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["come", "go", "cancel"]), st.sampled_from("abc")), min_size=8, max_size=40),
)
async def test_slots_are_never_idle_nor_given_twice(slots: int, each: int, steps: list[tuple[str, str]]) -> None:
    hall = Hall(slots, each)
    tasks: list[tuple[str, asyncio.Task[None]]] = []
    for step, user in steps:
        if step == "come":
            tasks.append((user, hall.come(user)))
        elif step == "go" and hall.doors:
            hall.doors.pop(0).set()
        elif step == "cancel" and tasks:
            tasks.pop(0)[1].cancel()
        await hall.settle()
        served = sum(hall.inside.values())
        assert served <= slots
        assert max(hall.inside.values(), default=0) <= each
        there = Counter(user for user, task in tasks if not task.done())
        assert served == min(slots, sum(min(count, each) for count in there.values()))
    for _, task in tasks:
        task.cancel()
    await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
