"""Rate limits: what a bucket gives, what its headers say, and that it stays small."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.approaches import ADDED_PER_HOUR, Approaches
from api.errors import Throttled, problem_headers
from api.ratelimit import RateLimit, address_key


class Clock:
    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


def taken(limit: RateLimit, times: int, key: str = "ana") -> int:
    return sum(limit.take(key) is None for _ in range(times))


@pytest.mark.parametrize(("rate", "burst"), [(100, 1000), (10 / 60, 10), (100 / 60, 100), (1, 1), (7, 3)])
def test_a_fresh_bucket_gives_its_burst_and_no_more(rate: float, burst: int) -> None:
    assert taken(RateLimit("sends", rate, burst, Clock()), burst + 50) == burst


def test_a_bucket_fills_at_its_rate_and_no_higher_than_its_burst() -> None:
    clock = Clock()
    limit = RateLimit("sends", 100, 1000, clock)
    taken(limit, 2000)
    clock.at += 1
    assert taken(limit, 2000) == 100
    clock.at += 3600
    assert taken(limit, 2000) == 1000


def test_keys_have_buckets_of_their_own() -> None:
    limit = RateLimit("sends", 1, 2, Clock())
    assert taken(limit, 5, "ana") == 2
    assert taken(limit, 5, "ben") == 2


@given(st.floats(0.1, 1000), st.integers(1, 50), st.lists(st.floats(0, 3), max_size=60))
def test_who_comes_back_when_told_gets_in(rate: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit("sends", rate, burst, clock)
    for pause in pauses:
        clock.at += pause
        wait_ms = limit.take("ana")
        if wait_ms is not None:
            assert 0 < wait_ms <= ceil(1000 / rate) + 1, "whole milliseconds, rounded up"
            clock.at += wait_ms / 1000
            assert limit.take("ana") is None


@given(st.floats(0.1, 1000), st.integers(1, 50), st.lists(st.floats(0, 3), max_size=200))
def test_over_any_time_no_more_is_given_than_rate_and_burst_allow(rate: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit("sends", rate, burst, clock)
    began, given_out = clock.at, 0
    for pause in pauses:
        clock.at += pause
        given_out += limit.take("ana") is None
    assert given_out <= burst + (clock.at - began) * rate + 1


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(1, 20), st.floats(0, 3)), max_size=60))
def test_many_tokens_at_once_are_as_many_one_by_one_or_none(burst: int, wanted: list[tuple[int, float]]) -> None:
    clock = Clock()
    limit, single = RateLimit("added", 1, burst, clock), RateLimit("added", 1, burst, clock)
    for count, pause in wanted:
        asked = limit.wait_ms("ana", count)
        assert limit.take("ana", count) == asked
        if asked is None:
            assert taken(single, count) == count
        assert limit.headers("ana") == single.headers("ana")
        clock.at += pause


def approaches(clock: Clock) -> Approaches:
    return Approaches(clock, chats_per_hour=3, approaches_per_hour=8)


def brought(limits: Approaches, actor_id: str, *user_ids: str, times: int = 100) -> int:
    """How often of so many times."""
    done = 0
    for _ in range(times):
        try:
            limits.bring(actor_id, user_ids)
        except Throttled:
            continue
        done += 1
    return done


def test_one_user_puts_another_into_a_few_chats_an_hour_and_all_together_into_some() -> None:
    clock = Clock()
    limits = approaches(clock)
    assert [brought(limits, f"stranger {number}", "victim") for number in range(5)] == [2, 2, 2, 2, 0]
    assert brought(limits, "stranger 0", "somebody else") == 2
    clock.at += 3600
    assert brought(limits, "stranger 4", "victim") == 2


def test_who_is_refused_for_one_has_used_up_nothing_of_the_others() -> None:
    limits = approaches(Clock())
    assert brought(limits, "ana", "victim") == 2
    assert brought(limits, "ana", "ben", "victim") == 0
    assert brought(limits, "ana", "ben") == 2


def test_oneself_counts_for_nothing() -> None:
    assert brought(approaches(Clock()), "ana", "ana") == 100


def test_chats_and_people_added_are_limited_by_who_does_it() -> None:
    limits = approaches(Clock())
    for _ in range(3):
        limits.make_chat("ana")
    with pytest.raises(Throttled) as refused:
        limits.make_chat("ana")
    assert refused.value.retry_after_ms == pytest.approx(1_200_000, abs=1)
    limits.make_chat("ben")
    crowd = [f"user {number}" for number in range(ADDED_PER_HOUR // 2)]
    assert brought(limits, "ana", *crowd) == 2
    assert brought(limits, "ana", "one more") == 0


def test_the_headers_count_down_and_recover() -> None:
    clock = Clock()
    limit = RateLimit("logins", 10 / 60, 10, clock)
    assert limit.enforce("ana") == {"RateLimit": '"logins";r=9;t=6', "RateLimit-Policy": '"logins";q=10;w=60'}
    taken(limit, 9)
    assert limit.headers("ana")["RateLimit"] == '"logins";r=0;t=60'
    clock.at += 30
    assert limit.headers("ana")["RateLimit"] == '"logins";r=5;t=30'
    clock.at += 600
    assert limit.headers("ana")["RateLimit"] == '"logins";r=10;t=0'


def test_who_is_throttled_is_told_everything_in_headers() -> None:
    limit = RateLimit("logins", 10 / 60, 10, Clock())
    taken(limit, 10)
    with pytest.raises(Throttled) as refused:
        limit.enforce("ana")
    assert refused.value.retry_after_ms == 6000
    assert problem_headers(refused.value) == {
        "Retry-After": "6",
        "RateLimit": '"logins";r=0;t=60',
        "RateLimit-Policy": '"logins";q=10;w=60',
    }


def test_a_limiter_forgets_full_buckets_first_and_stays_bounded() -> None:
    clock = Clock()
    limit = RateLimit("sends", 1, 10, clock, capacity=100)
    taken(limit, 10, "busy")
    for number in range(1000):
        clock.at += 0.0005
        limit.take(f"passer-by {number}")
        assert len(limit._full_at) <= 101
    assert limit.take("busy") is not None


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002"),
        ("2001:db8:1:2::1", "20010db800010002"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("a socket", "a socket"),
    ],
)
def test_an_ipv6_household_counts_as_one(host: str, key: str) -> None:
    assert address_key(host) == key
