"""Places in the log, as people name them."""

from datetime import timedelta

import pytest

from events.ids import unix_ms
from infra.cli.tail import Bounds, Span
from streams.places import BadPlace, instant_ms, offsets_as_of, offsets_of
from tests.support.history import NOON, ROOM, Clock
from tests.support.records import KeptLog

ENDS = {0: 40, 1: 2}


def kept() -> KeptLog:
    """Two partitions of 40 and 2 records, a second apart."""
    log = KeptLog(2)
    for second in range(40):
        log.add(0, ROOM, b"{}", unix_ms(NOON) + 1_000 * second)
    for second in (10, 20):
        log.add(1, ROOM, b"{}", unix_ms(NOON) + 1_000 * second)
    return log


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("start", {0: 0, 1: 0}),
        ("end", ENDS),
        ("0:0", {0: 0}),
        ("1:2", {1: 2}),
        ("0:99", {0: 99}),
        ("0:3,1:1", {0: 3, 1: 1}),
        ("2026-03-01T12:00:10Z", {0: 10, 1: 0}),
        ("2026-03-01T13:00:10.001+01:00", {0: 11, 1: 1}),
        ("2026-03-01T12:00:10", {0: 10, 1: 0}),
        ("2026-03-01", {0: 0, 1: 0}),
        ("2027-01-01", ENDS),
        ("-25s", {0: 15, 1: 1}),
        ("-0.5m", {0: 10, 1: 0}),
        ("-1h", {0: 0, 1: 0}),
    ],
)
def test_each_name_stands_for_a_vector_of_offsets(text: str, offsets: dict[int, int]) -> None:
    assert offsets_of(text, kept(), ENDS, NOON + timedelta(seconds=40)) == offsets


@pytest.mark.parametrize(
    "text", ["", "begin", "5", "0:-1", "0:1:2", "2:0", "-1y", "0:1,", "-99999999999d", "1:" + "9" * 19]
)
def test_another_name_is_refused(text: str) -> None:
    with pytest.raises(BadPlace):
        offsets_of(text, kept(), ENDS, NOON)


def test_as_of_counts_what_was_appended_at_that_very_moment() -> None:
    log = kept()
    assert offsets_as_of("2026-03-01T12:00:10Z", log, ENDS, NOON) == {0: 11, 1: 1}
    assert offsets_as_of("0:10", log, ENDS, NOON) == {0: 11, 1: 1}
    assert offsets_as_of("1:0", log, ENDS, NOON) == {0: 11, 1: 1}
    assert offsets_as_of("0:3,1:1", log, ENDS, NOON) == {0: 4, 1: 2}
    assert offsets_as_of("end", log, ENDS, NOON) == ENDS
    with pytest.raises(BadPlace, match="no record at 1:2"):
        offsets_as_of("1:2", log, ENDS, NOON)


def test_a_place_that_is_no_time_has_none() -> None:
    assert instant_ms("0:1", NOON) is instant_ms("end", NOON) is None
    assert instant_ms("-1s", NOON) == unix_ms(NOON) - 1_000


def test_following_ends_once_nothing_of_the_span_can_come() -> None:
    log, clock = kept(), Clock(NOON + timedelta(seconds=40))
    endless = Bounds(log, Span("0:5", None), clock)
    assert (endless.offsets, endless.ends) == ({0: 5}, {0: 40})
    endless.offsets = endless.ends
    assert not endless.is_over
    to_place = Bounds(log, Span("start", "0:45"), clock)
    assert to_place.ends == {0: 40}
    to_time = Bounds(log, Span("start", "2026-03-01T12:00:50Z"), clock)
    assert to_time.ends == ENDS
    for bounds in (to_place, to_time):
        bounds.offsets = bounds.ends
        assert not bounds.is_over
    for second in range(40, 60):
        log.add(0, ROOM, b"{}", unix_ms(NOON) + 1_000 * second)
    clock.move(30)
    for bounds, end in ((to_place, 45), (to_time, 50)):
        bounds.look()
        assert bounds.ends[0] == end
        bounds.offsets = bounds.ends
        assert bounds.is_over
    past = Bounds(log, Span("start", "-1h"), clock)
    assert past.offsets == past.ends == {0: 0, 1: 0}
