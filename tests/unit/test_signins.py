"""How often a password may be guessed, and that its owner still gets in."""

from __future__ import annotations

import pytest

from api.errors import Throttled
from api.signins import CAPACITY, SignIns
from commands.errors import BadCredentials, RateLimited, Unavailable

HOUR_S = 3600.0


class Site:
    def __init__(self, **limits: int) -> None:
        self.at = 1_000.0
        self.sign_ins = SignIns(lambda: self.at, **limits)

    def guess(self, name: str, address: str) -> bool:
        """Whether a wrong password was looked at."""
        try:
            with self.sign_ins.attempt(name, address):
                raise BadCredentials
        except RateLimited:
            return False
        except BadCredentials:
            return True

    def sign_in(self, name: str, address: str) -> None:
        with self.sign_ins.attempt(name, address):
            pass


@pytest.fixture
def our() -> Site:
    return Site()


@pytest.mark.parametrize("addresses", [1, 3, 500])
def test_an_account_takes_a_hundred_failures_an_hour_from_wherever(our: Site, addresses: int) -> None:
    our.sign_in("ana", "address 0")
    looked_at = 0
    for second in range(int(HOUR_S)):
        looked_at += our.guess("ana", f"address {second % addresses}")
        our.at += 1
    assert 10 <= looked_at <= 100


def test_an_owner_gets_in_while_another_guesses(our: Site) -> None:
    our.sign_in("ana", "home")
    for _ in range(1_000):
        our.guess("ana", "attacker")
    our.sign_in("ana", "home")
    our.sign_in("ana", "somewhere new")


def test_an_owner_gets_in_from_the_very_address_that_guesses_names(our: Site) -> None:
    our.sign_in("ana", "office")
    assert sum(our.guess(f"name {number}", "office") for number in range(1_000)) == 60
    our.sign_in("ana", "office")


def test_an_address_takes_so_many_failures_a_minute_whatever_the_names(our: Site) -> None:
    assert sum(our.guess(f"name {number}", "one") for number in range(200)) == 60
    assert our.guess("name 0", "another")
    our.at += 60
    assert sum(our.guess(f"other {number}", "one") for number in range(200)) == 60


def test_successes_and_outages_count_for_nothing(our: Site) -> None:
    for number in range(1_000):
        our.sign_in(f"user {number}", "office")
        our.sign_in("ana", f"address {number}")
    for _ in range(1_000):
        with pytest.raises(Unavailable), our.sign_ins.attempt("ben", "one"):
            raise Unavailable
    our.sign_in("ben", "one")


def test_who_is_sent_away_is_told_for_how_long(our: Site) -> None:
    while our.guess("ana", "attacker"):
        pass
    with pytest.raises(Throttled) as refused, our.sign_ins.attempt("ana", "attacker"):
        pass
    assert refused.value.retry_after_ms is not None
    our.at += refused.value.retry_after_ms / 1000
    assert our.guess("ana", "attacker")


def test_what_is_remembered_is_bounded(our: Site) -> None:
    for number in range(CAPACITY + 100):
        our.sign_ins.succeeded("n" * 1_000, f"address {number}")
    assert len(our.sign_ins._known) == CAPACITY
    assert max(map(len, our.sign_ins._known)) == 32


def test_one_name_in_other_letters_is_one_account(our: Site) -> None:
    while our.guess("ana", "attacker"):
        pass
    assert not our.guess("ANA", "attacker")
