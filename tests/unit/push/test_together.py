"""Planning for several partitions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from commands.devices import Device
from commands.errors import Unavailable
from streams.push.plan import Wanted
from streams.push.ports import Push
from streams.push.together import MANY, MOST, Plan, Together

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG_S = 30.0
"""Longer than any test waits."""


def wanted(chat: str, count: int = 1) -> list[Wanted]:
    return [Wanted(chat, seq) for seq in range(1, count + 1)]


def push(one: Wanted, token: str) -> Push:
    device = Device("ben", token, "IOS", token, "session", NOW)
    return Push(device, one.chat_id, one.seq, "message", None, "hello", 1, NOW)


class Plans:
    """Two pushes for each message, none for those that are late; goes on when it may."""

    def __init__(self) -> None:
        self.asked: list[list[Wanted]] = []
        self.was_asked = asyncio.Event()
        self.late: set[Wanted] = set()
        self.is_away = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def plan(self, wanted: Sequence[Wanted]) -> Plan:
        self.asked.append(list(wanted))
        self.was_asked.set()
        await self.may_go_on.wait()
        if self.is_away:
            raise Unavailable("away")
        pushes = [(one, push(one, token)) for one in wanted if one not in self.late for token in ("a", "b")]
        return pushes, [one for one in wanted if one in self.late]


async def test_each_gets_its_own_and_all_are_asked_about_at_once() -> None:
    plans = Plans()
    together = Together(plans, linger_s=0.01)
    plans.late = {Wanted("tea", 2)}
    tea, coffee = await asyncio.gather(together.plan(wanted("tea", 2)), together.plan(wanted("coffee")))
    assert plans.asked == [[*wanted("tea", 2), *wanted("coffee")]]
    assert [(one, each.device.token) for one, each in tea[0]] == [(Wanted("tea", 1), token) for token in "ab"]
    assert tea[1] == [Wanted("tea", 2)]
    assert [(one, each.device.token) for one, each in coffee[0]] == [(Wanted("coffee", 1), token) for token in "ab"]
    assert coffee[1] == []


async def test_what_two_want_is_asked_about_once_and_given_to_both() -> None:
    plans = Plans()
    together = Together(plans, linger_s=0.01)
    one, other = await asyncio.gather(together.plan(wanted("tea")), together.plan(wanted("tea")))
    assert plans.asked == [wanted("tea")]
    assert one == other
    assert len(one[0]) == 2


async def test_while_one_plan_is_made_the_next_gathers() -> None:
    plans = Plans()
    plans.may_go_on.clear()
    together = Together(plans, linger_s=0.0)
    tasks = [asyncio.create_task(together.plan(wanted("tea")))]
    async with asyncio.timeout(5):
        await plans.was_asked.wait()
        tasks += [asyncio.create_task(together.plan(wanted(chat))) for chat in ("coffee", "milk")]
        await asyncio.sleep(0)
        plans.may_go_on.set()
        await asyncio.gather(*tasks)
    assert plans.asked == [wanted("tea"), [*wanted("coffee"), *wanted("milk")]]


async def test_many_wait_for_nobody_and_no_plan_is_too_large() -> None:
    plans = Plans()
    together = Together(plans, linger_s=LONG_S)
    async with asyncio.timeout(5):
        await together.plan(wanted("tea", MANY))
        await asyncio.gather(*(together.plan(wanted(f"room {n}", MANY)) for n in range(8)))
    assert [len(each) for each in plans.asked] == [MANY, MOST, 8 * MANY - MOST]


async def test_nothing_wanted_is_no_question() -> None:
    plans = Plans()
    assert await Together(plans, linger_s=LONG_S).plan([]) == ([], [], [])
    assert plans.asked == []


async def test_what_fails_fails_for_all_of_a_group_and_for_no_other() -> None:
    plans = Plans()
    together = Together(plans, linger_s=0.01)
    plans.is_away = True
    failed = await asyncio.gather(*(together.plan(wanted(chat)) for chat in ("a", "b")), return_exceptions=True)
    assert [type(each) for each in failed] == [Unavailable, Unavailable]
    plans.is_away = False
    assert len((await together.plan(wanted("a")))[0]) == 2


async def test_who_is_cancelled_takes_nobody_along() -> None:
    plans = Plans()
    plans.may_go_on.clear()
    together = Together(plans, linger_s=0.0)
    going, staying = (asyncio.create_task(together.plan(wanted(chat))) for chat in ("a", "b"))
    async with asyncio.timeout(5):
        await plans.was_asked.wait()
        going.cancel()
        plans.may_go_on.set()
        assert len((await staying)[0]) == 2
    with pytest.raises(asyncio.CancelledError):
        await going
