"""Whoever waits for the views hears of them by the fold's reports, or by asking them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

import streams.progress
from commands.errors import Unavailable
from streams.progress import CONFIRM_S, FoldProgress


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.progress, "ASK_AFTER_S", 0.0)
    monkeypatch.setattr(streams.progress, "ASK_EVERY_S", 0.0)


async def test_a_report_wakes_those_who_wait_for_it() -> None:
    progress = FoldProgress()
    waiting = asyncio.create_task(progress.reach({0: 5, 1: 2}, 10))
    await asyncio.sleep(0)
    progress.advance(0, 5)
    assert not waiting.done()
    progress.advance(1, 3)
    assert await waiting
    assert not await progress.reach({0: 6}, 0)


async def test_positions_are_asked_for_where_reports_do_not_come() -> None:
    asked: list[dict[int, int]] = []

    async def ask() -> Mapping[int, int]:
        asked.append({0: len(asked)})
        if len(asked) == 2:
            raise Unavailable("away")
        return asked[-1]

    progress = FoldProgress(ask)
    both = await asyncio.gather(progress.reach({0: 4}, 10), progress.reach({0: 3}, 10))
    assert all(both)
    assert progress.position(0) >= 4


async def test_nobody_is_asked_where_nobody_waits() -> None:
    async def ask() -> Mapping[int, int]:
        raise AssertionError("asked")

    progress = FoldProgress(ask)
    progress.advance(0, 4)
    await asyncio.sleep(0)


async def test_a_question_that_fails_otherwise_does_not_end_the_asking_of_later_ones() -> None:
    async def ask() -> Mapping[int, int]:
        raise Unavailable("away")

    progress = FoldProgress(ask)
    assert not await progress.reach({0: 1}, 0.01)
    assert not await progress.reach({0: 1}, 0.01)


# --- Views that went back ----------------------------------------------------------------------------------


class Views:
    """Where the views stand; their position may come a moment later than the report of it."""

    def __init__(self) -> None:
        self.stands = {0: 0}
        self.asked = 0
        self.away = False
        self.now = 1_000.0
        self.progress = FoldProgress(self.positions, clock=lambda: self.now)

    async def positions(self) -> Mapping[int, int]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return dict(self.stands)

    def fold(self, offset: int) -> None:
        self.stands[0] = offset
        self.progress.advance(0, offset)


async def test_views_that_were_lost_are_waited_for_until_they_are_there_again() -> None:
    views = Views()
    views.fold(100)
    views.now += 60
    assert await views.progress.reach({0: 100}, 10)
    views.stands = {}  # lost, and folded anew from the log
    views.now += 60
    assert not await views.progress.reach({0: 100}, 0.01)
    assert views.progress.position(0) == 0
    waiting = asyncio.create_task(views.progress.reach({0: 100}, 10))
    await asyncio.sleep(0)
    views.fold(99)
    await asyncio.sleep(0)
    assert not waiting.done()
    views.fold(100)
    assert await waiting


async def test_a_position_that_comes_later_than_its_report_is_no_going_back() -> None:
    views = Views()
    views.fold(100)
    views.now += 60
    assert await views.progress.reach({0: 100}, 10)
    views.progress.advance(0, 120)
    views.now += CONFIRM_S
    views.progress.advance(0, 130)
    assert await views.progress.reach({0: 130}, 10)
    assert views.progress.position(0) == 130


async def test_the_views_are_asked_once_a_second_at_most_and_once_for_all() -> None:
    views = Views()
    views.fold(100)
    for _ in range(3):
        assert all(await asyncio.gather(*(views.progress.reach({0: 100}, 10) for _ in range(20))))
    assert views.asked == 1
    views.now += CONFIRM_S
    assert await views.progress.reach({0: 100}, 10)
    assert views.asked == 2


async def test_while_the_views_are_away_reports_are_believed() -> None:
    views = Views()
    views.fold(100)
    views.away = True
    views.now += 60
    assert await views.progress.reach({0: 100}, 10)


# --- Whoever asks leaves nothing behind ------------------------------------------------------------------------


async def test_who_gives_up_is_forgotten() -> None:
    progress = FoldProgress()
    for number in range(1_000):
        assert not await progress.reach({0: 10**17 + number, number % 3: 7}, 0)
        assert sum(map(len, progress._waiting.values())) <= 200
    waiting = [asyncio.create_task(progress.reach({0: 10**17 - number, 1: 9}, 10)) for number in range(500)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (progress._waiting, progress._given_up, progress._pending) == ({}, {}, 0)


async def test_who_goes_on_waiting_is_not_forgotten_with_those_who_give_up() -> None:
    progress = FoldProgress()
    patient = [asyncio.create_task(progress.reach({0: offset}, 10)) for offset in (5, 900, 300)]
    await asyncio.sleep(0)
    for number in range(1_000):
        assert not await progress.reach({0: number + 1}, 0)
    for reached, done in ((4, 0), (5, 1), (299, 1), (899, 2), (900, 3)):
        progress.advance(0, reached)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sum(task.done() for task in patient) == done
    assert await asyncio.gather(*patient) == [True] * 3
    assert progress._waiting == {}


async def test_more_than_so_many_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.progress, "MAX_WAITING", 3)
    progress = FoldProgress()
    waiting = [asyncio.create_task(progress.reach({0: 1}, 10)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not await progress.reach({0: 1}, 10)
    progress.advance(0, 1)
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await progress.reach({0: 1}, 10)
