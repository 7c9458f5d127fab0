"""Access tokens: what is believed and what is not."""

from __future__ import annotations

import base64
import json

import jwt
import pytest

from commands.errors import BadToken
from commands.sessions import Claims
from infra.master_key import derive
from infra.tokens import JwtTokens
from tests.support.people import NOON, SIGNING, Clock


def tokens(clock: Clock | None = None, secret: bytes = SIGNING, ended: tuple[str, ...] = ()) -> JwtTokens:
    return JwtTokens(secret, clock or Clock(), ended)


def test_a_token_says_who_and_for_how_long() -> None:
    clock = Clock()
    made = tokens(clock)
    clock.advance(900)
    assert made.verify(made.issue("ana", "s1", True, clock())) == Claims(
        "ana", "s1", Clock().at.replace(minute=30), True
    )


def test_a_token_carries_no_more_than_it_must() -> None:
    made = tokens()
    at = int(NOON.timestamp())
    said = [
        jwt.decode(made.issue("ana", "s1", admin, NOON), options={"verify_signature": False}) for admin in (False, True)
    ]
    assert said[0] == {"sub": "ana", "sid": "s1", "iat": at, "exp": at + 900}
    assert said[1] == {**said[0], "adm": True}


def test_the_same_claims_give_the_same_token() -> None:
    made = tokens()
    assert made.issue("ana", "s1", False, NOON) == made.issue("ana", "s1", False, NOON.replace(microsecond=5))


def test_a_token_runs_out_after_fifteen_minutes() -> None:
    clock = Clock()
    made = tokens(clock)
    token = made.issue("ana", "s1", False, clock())
    clock.advance(899)
    made.verify(token)
    clock.advance(1)
    with pytest.raises(BadToken):
        made.verify(token)


def test_a_token_of_an_ended_session_is_refused() -> None:
    made = tokens(ended=("s1",))
    with pytest.raises(BadToken):
        made.verify(made.issue("ana", "s1", False, NOON))
    made.verify(made.issue("ana", "s2", False, NOON))


def test_a_token_of_another_installation_is_refused() -> None:
    with pytest.raises(BadToken):
        tokens().verify(tokens(secret=b"x" * 32).issue("ana", "s1", False, NOON))


def forged() -> list[str]:
    key = derive(SIGNING, "access tokens")
    at = int(NOON.timestamp())
    claims = {"sub": "ana", "sid": "s1", "iat": at, "exp": at + 900}
    good = tokens().issue("ana", "s1", False, NOON)
    header, body, mac = good.split(".")
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "ben"}).encode()).rstrip(b"=").decode()
    return [
        "",
        "x",
        "a.b.c",
        good + "x" * 2048,
        "é" + good,
        good[:-2],
        f"{header}.{other}.{mac}",
        f"{header}.{body}.",
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, key * 2, "HS256"),
        jwt.encode(claims, key * 2, "HS512"),
        *(jwt.encode({name: claims[name] for name in claims if name != gone}, key, "HS256") for gone in claims),
        jwt.encode({**claims, "sub": 7}, key, "HS256"),
    ]


@pytest.mark.parametrize("token", forged())
def test_a_forged_or_broken_token_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        tokens().verify(token)
