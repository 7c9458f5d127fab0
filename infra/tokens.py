"""Access tokens as JWT (RFC 7519) with HS256. Claims: sub (user), sid (session), iat, exp, adm (only if true)."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import UTC, datetime

import jwt
from jwt.types import Options

from commands.errors import BadToken
from commands.sessions import ACCESS_LIFE, Claims
from infra.master_key import derive

_ALGORITHM = "HS256"
_READING: Options = {
    "require": ["sub", "sid", "iat", "exp"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
"""Times are checked here, against the clock that Tidings was given."""
MAX_CHARACTERS = 2048


class JwtTokens:
    """The adapter of `commands.sessions.Tokens`. `ended`: sessions whose tokens are refused at once."""

    def __init__(self, secret: bytes, now: Callable[[], datetime], ended: Container[str] = ()) -> None:
        self._key = derive(secret, "access tokens")
        self._now = now
        self._ended = ended

    def issue(self, user_id: str, session_id: str, admin: bool, at: datetime) -> str:
        issued = int(at.timestamp())
        claims: dict[str, object] = {
            "sub": user_id,
            "sid": session_id,
            "iat": issued,
            "exp": issued + int(ACCESS_LIFE.total_seconds()),
        }
        if admin:
            claims["adm"] = True
        return jwt.encode(claims, self._key, _ALGORITHM)

    def verify(self, token: str) -> Claims:
        if len(token) > MAX_CHARACTERS or not token.isascii():
            raise BadToken("this is not an access token")
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options=_READING)
        except jwt.InvalidTokenError as error:
            raise BadToken("this is not an access token") from error
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        if expires_at <= self._now():
            raise BadToken("this token has run out")
        if claims["sid"] in self._ended:
            raise BadToken("this session has ended")
        return Claims(claims["sub"], claims["sid"], expires_at, claims.get("adm", False))
