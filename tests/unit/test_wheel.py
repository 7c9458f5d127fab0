"""Deadlines to the second, never early, at the cost of one timer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.ws.wheel import Wheel
from tests.support.world import MovedTimers


class Case:
    def __init__(self) -> None:
        self.timers = MovedTimers()
        self.due: list[str] = []
        self.wheel: Wheel[str] = Wheel(self.timers, self.due.append)


def test_a_deadline_comes_up_to_a_second_late_and_never_early() -> None:
    case = Case()
    case.timers.move(0.7)
    case.wheel.set("a", 2)
    case.timers.move(1.99)
    assert case.due == []
    case.timers.move(1.01)
    assert case.due == ["a"]
    case.timers.move(100)
    assert case.due == ["a"]


def test_a_deadline_can_be_moved_and_taken_back() -> None:
    case = Case()
    case.wheel.set("a", 1)
    case.wheel.set("b", 1)
    case.wheel.set("a", 5)
    case.wheel.discard("b")
    case.wheel.discard("never there")
    case.timers.move(4)
    assert case.due == []
    case.timers.move(2)
    assert case.due == ["a"]


def test_what_falls_due_may_set_and_discard_others() -> None:
    case = Case()

    def act(thing: str) -> None:
        case.due.append(thing)
        if thing in "ab" and len(case.due) == 1:
            wheel.discard("b" if thing == "a" else "a")
            wheel.set("c", 0)

    wheel: Wheel[str] = Wheel(case.timers, act)
    wheel.set("a", 1)
    wheel.set("b", 1)
    case.timers.move(10)
    assert len(case.due) == 2
    assert case.due[1] == "c"


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 20), st.floats(0, 3)), max_size=30))
def test_every_deadline_comes_once_in_time(steps: list[tuple[int, float, float]]) -> None:
    case = Case()
    expected: dict[int, float] = {}

    def due(thing: int) -> None:
        at = expected.pop(thing)
        assert at <= case.timers.time() <= at + 1.001

    wheel: Wheel[int] = Wheel(case.timers, due)
    for thing, delay, passing in steps:
        expected[thing] = case.timers.time() + delay
        wheel.set(thing, delay)
        case.timers.move(passing)
    case.timers.move(30)
    assert expected == {}
