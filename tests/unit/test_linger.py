"""How long a worker lets records gather: by what came last."""

from __future__ import annotations

from streams.faust_worker.transport import LINGER_S, MAX_BATCH, linger_s


def test_who_comes_after_a_quiet_time_waits_for_nobody() -> None:
    assert linger_s(0) == 0


def test_the_more_came_the_longer_but_never_beyond_the_bound() -> None:
    waits = [linger_s(records) for records in range(MAX_BATCH)]
    assert waits == sorted(waits)
    assert waits[1] < LINGER_S == waits[-1]


def test_a_backlog_is_taken_without_a_pause() -> None:
    assert linger_s(MAX_BATCH) == 0
