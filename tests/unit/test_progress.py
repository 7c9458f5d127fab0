"""Whoever waits for the views hears of them by the fold's reports, or by asking them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

import streams.progress
from commands.errors import Unavailable
from streams.progress import FoldProgress


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
    assert await progress.reach({0: 4}, 10)


async def test_a_question_that_fails_otherwise_does_not_end_the_asking_of_later_ones() -> None:
    async def ask() -> Mapping[int, int]:
        raise Unavailable("away")

    progress = FoldProgress(ask)
    assert not await progress.reach({0: 1}, 0.01)
    assert not await progress.reach({0: 1}, 0.01)


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
