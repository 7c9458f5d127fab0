"""A partition is healthy while it moves or has nothing to do."""

from __future__ import annotations

from streams.lag import LagWatch, Standing


class Ticking:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_one_that_moves_is_never_still() -> None:
    now = Ticking()
    watch = LagWatch(now)
    for step in range(5):
        assert watch.look({0: step}, {0: 100}) == {0: Standing(step, 100, 0)}
        now.at += 10


def test_one_that_is_behind_and_does_not_move_is_still_for_ever_longer() -> None:
    now = Ticking()
    watch = LagWatch(now)
    watch.look({0: 5}, {0: 100})
    now.at = 7
    assert watch.look({0: 5}, {0: 100})[0].still_s == 7
    now.at = 9
    assert watch.look({0: 5}, {0: 120})[0] == Standing(5, 120, 9)
    assert watch.look({0: 6}, {0: 120})[0].still_s == 0


def test_one_that_has_nothing_to_do_is_not_still_and_its_time_begins_with_the_first_record() -> None:
    now = Ticking()
    watch = LagWatch(now)
    watch.look({0: 5}, {0: 5})
    now.at = 50
    assert watch.look({0: 5}, {0: 5})[0].still_s == 0
    now.at = 60
    assert watch.look({0: 5}, {0: 6})[0].still_s == 10
    assert watch.standings[0].lag == 1


def test_one_that_was_taken_away_begins_anew() -> None:
    now = Ticking()
    watch = LagWatch(now)
    watch.look({0: 5}, {0: 9})
    now.at = 50
    assert watch.look({}, {0: 9}) == {}
    assert watch.look({0: 5}, {0: 9})[0].still_s == 0
