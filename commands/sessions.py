"""Sign-ins: one session for each, with short access tokens and a refresh token that changes on every use.

A refresh token is derived from the session's salt, its generation and a secret, so nothing stored can be used
as one, and the answer to a refresh can be given again without having been kept.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from os import urandom
from typing import Protocol

from commands.errors import BadCredentials, BadToken, NotFound, TokenReused
from commands.isolation import for_each
from commands.lines import without_unfit
from commands.users import Account, User
from events.ids import is_uuid7, uuid7

ACCESS_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=30)
REPEAT_WINDOW = timedelta(seconds=60)
"""How long a refresh may be repeated under its request id, because its answer was lost."""
MAX_CLIENT = 200
"""Characters kept of what a client says it is."""

Ended = Callable[[str, str], None]
"""Called with session id and user id when a session ends. Must not block and must not raise."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says."""

    user_id: str
    session_id: str
    expires_at: datetime
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. `generation` counts refreshes; `request_id` came with the latest of them."""

    session_id: str
    user_id: str
    salt: bytes
    generation: int
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    request_id: str | None = None
    client: str | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The answer to every way of signing in. `expires_in`: seconds of the access token."""

    user: User
    access_token: str
    refresh_token: str
    expires_in: int


class Tokens(Protocol):
    """Access tokens. Verifying reads no store, so it works on the socket path and while SQL is away."""

    def issue(self, user_id: str, session_id: str, admin: bool, at: datetime) -> str:
        """The same arguments give the same token."""

    def verify(self, token: str) -> Claims:
        """Raises BadToken if it is forged, out of date, or its session has ended."""


class SessionStore(Protocol):
    """All raise Unavailable."""

    async def add(self, session: Session, account: Account) -> bool:
        """False if the account was erased, or its password changed, since it was read. Also drops the user's
        sessions that are past their end."""

    async def get(self, session_id: str) -> tuple[Session, Account] | None:
        """A session that has not ended, though it may be past `expires_at`, with its user."""

    async def rotate(self, session: Session) -> bool:
        """Store the session's next generation. False if somebody else did it before, or it has ended."""

    async def end(self, user_id: str, at: datetime, *, only: str | None = None, but: str | None = None) -> list[str]:
        """End sessions of a user: all, one, or all but one. The ids of those that ended now."""

    async def of_user(self, user_id: str, at: datetime, before: str | None, limit: int) -> Sequence[Session]:
        """Sessions that live at this time, newest first, from below the id `before`."""

    async def ended_after(self, at: datetime) -> Sequence[tuple[str, str, datetime]]:
        """Session id, user id and end of the sessions that ended after `at`, oldest first."""

    async def forget_ended(self, until: datetime) -> None:
        """Drop the sessions that ended until then."""


class EndedSessions:
    """Sessions whose access tokens may not have run out yet. Bounded by the sign-outs of 15 minutes."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._until: dict[str, datetime] = {}
        self.observers: list[Ended] = []

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._until

    def add(self, session_id: str, user_id: str, at: datetime) -> None:
        """Refuse the session's tokens from now on and tell the observers, once."""
        now = self._now()
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                break
            del self._until[oldest]
        if session_id not in self._until:
            self._until[session_id] = at + ACCESS_LIFE
            for_each("telling of an ended sign-in", self.observers, lambda tell: tell(session_id, user_id))


class RefreshTokens:
    """Text of refresh tokens: `tdr_<session>.<generation>.<mac>`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, session: Session) -> str:
        mac = hmac.digest(self._secret, f"{session.session_id}.{session.generation}.".encode() + session.salt, sha256)
        return f"tdr_{session.session_id}.{session.generation}.{urlsafe_b64encode(mac).decode().rstrip('=')}"

    def read(self, token: str) -> tuple[str, int]:
        """Session id and generation, not yet believed. Raises BadToken."""
        session_id, _, rest = token.removeprefix("tdr_").partition(".")
        generation, _, mac = rest.partition(".")
        plausible = token.startswith("tdr_") and token.isascii() and is_uuid7(session_id) and mac
        if not (plausible and generation.isdigit() and len(generation) < 10):
            raise BadToken("this is not a refresh token")
        return session_id, int(generation)

    def is_genuine(self, token: str, session: Session, generation: int) -> bool:
        """Whether `token` was issued for this generation of the session."""
        return hmac.compare_digest(token, self.issue(replace(session, generation=generation)))


class Sessions:
    """Handlers for sign-ins. `ended` is shared with whatever verifies access tokens. `observers` hear of endings
    that began here, and must neither block nor raise."""

    def __init__(
        self,
        store: SessionStore,
        tokens: Tokens,
        refresh_tokens: RefreshTokens,
        ended: EndedSessions,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._refresh_tokens = refresh_tokens
        self._now = now
        self.ended = ended
        self.observers: list[Callable[[str, str, datetime], None]] = []
        """Called with session id, user id and time."""

    async def start(self) -> None:
        """Remember which sessions ended shortly before this process started. Raises Unavailable."""
        since = self._now() - ACCESS_LIFE
        await self._store.forget_ended(since)
        for session_id, user_id, at in await self._store.ended_after(since):
            self.ended.add(session_id, user_id, at)

    async def open(self, account: Account, client: str | None = None) -> SignedIn:
        """Sign a user in. Raises BadCredentials if the account has changed since it was read, Unavailable."""
        now = self._now()
        session = Session(
            session_id=uuid7(now),
            user_id=account.user_id,
            salt=urandom(16),
            generation=0,
            created_at=now,
            used_at=now,
            expires_at=now + REFRESH_LIFE,
            client=without_unfit(client)[:MAX_CLIENT] if client else None,
        )
        if not await self._store.add(session, account):
            raise BadCredentials("the password has just been changed")
        return self._answer(session, account)

    async def refresh(self, token: str, request_id: str | None = None) -> SignedIn:
        """The next tokens. Repeating a refresh under its request id within 60 s gives the same answer;
        any other use of an old token ends the session, for somebody has a copy. Raises BadToken, Unavailable.
        """
        session_id, generation = self._refresh_tokens.read(token)
        # Twice, because a refresh under the same request id may win the race in between.
        for _ in range(2):
            found = await self._store.get(session_id)
            if found is None:
                raise BadToken("this session has ended")
            session, account = found
            if not self._refresh_tokens.is_genuine(token, session, generation):
                raise BadToken("this is not a refresh token")
            now = self._now()
            if session.expires_at <= now:
                raise BadToken("this session has run out")
            if generation != session.generation:
                repeats = (
                    generation == session.generation - 1
                    and request_id is not None
                    and request_id == session.request_id
                    and now - session.used_at <= REPEAT_WINDOW
                )
                if repeats:
                    return self._answer(session, account)
                break
            following = replace(
                session,
                generation=generation + 1,
                used_at=now,
                expires_at=now + REFRESH_LIFE,
                request_id=request_id,
            )
            if await self._store.rotate(following):
                return self._answer(following, account)
        await self.end_all(session.user_id, only=session.session_id)
        raise TokenReused("this refresh token was used before: the session has been ended")

    async def end_by(self, refresh_token: str) -> None:
        """Sign out. A session that has ended before stays so. Raises BadToken, Unavailable."""
        session_id, generation = self._refresh_tokens.read(refresh_token)
        found = await self._store.get(session_id)
        if found is None:
            return
        session, _ = found
        if not self._refresh_tokens.is_genuine(refresh_token, session, generation):
            raise BadToken("this is not a refresh token")
        await self.end_all(session.user_id, only=session_id)

    async def end(self, user_id: str, session_id: str) -> None:
        """End one of a user's own sessions. Raises NotFound, Unavailable."""
        if not is_uuid7(session_id) or not await self.end_all(user_id, only=session_id):
            raise NotFound("there is no such session")

    async def end_all(self, user_id: str, *, only: str | None = None, but: str | None = None) -> list[str]:
        """End all sessions of a user, one, or all but one; the ids of those. Raises Unavailable."""
        now = self._now()
        ended = await self._store.end(user_id, now, only=only, but=but)
        self.announce(ended, user_id, now)
        return ended

    def announce(self, session_ids: Sequence[str], user_id: str, at: datetime) -> None:
        """These sessions have been ended in the store."""
        # Refused here first, all of them: a sign-in must not live on because others could not be told of one.
        for_each("ending a sign-in", session_ids, lambda session_id: self.ended.add(session_id, user_id, at))
        for session_id in session_ids:
            self._tell(session_id, user_id, at)

    def _tell(self, session_id: str, user_id: str, at: datetime) -> None:
        for_each("announcing an ended sign-in", self.observers, lambda tell: tell(session_id, user_id, at))

    async def of_user(self, user_id: str, before: str | None, limit: int) -> Sequence[Session]:
        """Living sessions, newest first, from below the id `before`. Raises Unavailable."""
        return await self._store.of_user(user_id, self._now(), before, limit)

    def _answer(self, session: Session, account: Account) -> SignedIn:
        return SignedIn(
            account.user,
            self._tokens.issue(account.user_id, session.session_id, account.admin, session.used_at),
            self._refresh_tokens.issue(session),
            int(ACCESS_LIFE.total_seconds()),
        )
