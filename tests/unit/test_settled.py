"""Positions that a reader wants to see: how they are read, and who waits for which."""

from __future__ import annotations

import pytest

from api.http.settled import MAX_POSITIONS, parse_positions, settled
from commands.errors import Invalid, NotYet
from streams.progress import FoldProgress


class Log:
    """Ends after offset 9 of partition 0."""

    async def logged(self, ends: dict[int, int]) -> bool:
        return all(offset <= {0: 10}.get(partition, 0) for partition, offset in ends.items())


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("0:17", {0: 18}),
        ("0:0", {0: 1}),
        ("1:4, 0:9", {1: 5, 0: 10}),
        ("0:9,0:3,0:5", {0: 10}),
        ("2:999999999999999999", {2: 10**18}),
        (",".join(f"{number % 3}:{number}" for number in range(MAX_POSITIONS)), {0: 1000, 1: 998, 2: 999}),
    ],
)
def test_a_position_is_there_once_the_views_have_the_record_itself(text: str, ends: dict[int, int]) -> None:
    assert parse_positions(text, 3) == ends


@pytest.mark.parametrize(
    "text", ["3:0", "0:1" + ",0:1" * MAX_POSITIONS, "\u0663:\u0661", "0:1,,0:2", "0:1 0:2", "+0:1"]
)
def test_what_names_no_record_of_this_log_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_positions(text, 3)


async def test_the_record_before_is_not_enough() -> None:
    progress = FoldProgress()
    progress.advance(0, 9)
    wanted = parse_positions("0:9", 1)
    assert not await progress.reach(wanted, 0)
    progress.advance(0, 10)
    await settled(progress, Log(), wanted)


@pytest.mark.parametrize("text", ["0:10", "0:999999999999999999", "0:3, 1:0"])
async def test_what_the_log_does_not_have_is_waited_for_by_nobody(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.settled.WAIT_S", 3600.0)
    progress = FoldProgress()
    progress.advance(0, 10)
    with pytest.raises(NotYet):
        await settled(progress, Log(), parse_positions(text, 2))
    assert progress._waiting == {}
