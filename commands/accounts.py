"""Accounts: registering, signing in, profiles, mutes, and the erasure of a person."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from commands.errors import BadCredentials, BadToken, Invalid, NoSuchUser
from commands.isolation import for_each
from commands.sessions import ACCESS_LIFE, Sessions, SignedIn
from commands.users import (
    Account,
    ProfileChanges,
    User,
    check_password,
    check_profile,
    clean_username,
    search_key,
)
from events.ids import is_uuid7, uuid7

MAY_COME_BACK = ACCESS_LIFE + timedelta(minutes=5)
"""So long after an erasure somebody may still be put into a chat: a token's life, and what clocks may differ."""
_WRONG = "username or password is wrong"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a search stopped: first come matching usernames, then matching display names."""

    stage: Literal["username", "display_name"]
    key: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Found:
    users: Sequence[User]
    following: Mark | None


class AccountStore(Protocol):
    """All raise Unavailable. Erased users are not found."""

    async def add(self, account: Account) -> None:
        """Store a user and a fresh sealing key in one transaction. Raises UsernameTaken."""

    async def by_username(self, username: str) -> Account | None: ...

    async def by_id(self, user_id: str) -> Account | None: ...

    async def users(self, user_ids: Collection[str], *, for_certain: bool = False) -> Sequence[User]:
        """Those who exist, in no order; names, and who was erased, may be some seconds old unless `for_certain`."""

    async def search(self, prefix: str, after: Mark | None, limit: int) -> Found:
        """Users whose username or display name starts with `prefix`, which is a search key; may be some seconds old."""

    async def update(self, user_id: str, changes: ProfileChanges) -> Account | None:
        """The changed account."""

    async def set_password(self, account: Account, password_hash: str) -> bool:
        """False if the account's password has changed since it was read."""

    async def change_password(self, account: Account, password_hash: str, at: datetime, keep: str) -> list[str] | None:
        """As `set_password`, ending all sessions but `keep` in the same transaction; the ids of those, or None
        if the password has changed since the account was read."""

    async def set_admin(self, username: str, admin: bool) -> bool:
        """False if there is no such user."""

    async def erase(self, user_id: str, at: datetime) -> list[str]:
        """One transaction: the sealing key is destroyed, personal data removed, all sessions ended, and the
        user noted as still being in chats. The ended sessions. Erasing twice changes nothing."""

    async def leaving(self) -> Sequence[str]:
        """Erased users who may still be in chats."""

    async def left(self, user_id: str) -> None:
        """An erased user is in no chat any more."""

    async def erased_since(self, at: datetime) -> Sequence[str]:
        """Users erased at this time or later who have left all chats since."""

    async def set_mute(self, user_id: str, chat_id: str, until: datetime | None) -> None: ...

    async def mutes(self, user_id: str, chat_ids: Collection[str]) -> Mapping[str, datetime]: ...

    async def ping(self) -> None:
        """Return if the store answers."""


class Passwords(Protocol):
    """Slow by design: hashing happens off the event loop, few at a time. Raises Unavailable when too many wait."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password_hash: str, password: str) -> bool: ...

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than those in force."""


class Accounts:
    """Handlers. `leave_chats` makes a user leave all chats and may be repeated; `observers` hear of erasures
    once the key is destroyed, and must neither block nor raise."""

    def __init__(
        self,
        store: AccountStore,
        sessions: Sessions,
        passwords: Passwords,
        now: Callable[[], datetime],
        leave_chats: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._passwords = passwords
        self._now = now
        self._leave_chats = leave_chats
        self.observers: list[Callable[[str], None]] = []

    async def register(
        self, username: str, password: str, display_name: str | None = None, client: str | None = None
    ) -> SignedIn:
        """Raises Invalid, UsernameTaken, Unavailable."""
        name = clean_username(username)
        check_password(password)
        shown = name if display_name is None else display_name
        check_profile({"display_name": shown})
        hashed = await self._passwords.hash(password)
        now = self._now()
        account = Account(uuid7(now), name, shown, hashed, now)
        await self._store.add(account)
        return await self._sessions.open(account, client)

    async def login(self, username: str, password: str, client: str | None = None) -> SignedIn:
        """Raises BadCredentials (name and password take the same time to be wrong), Unavailable."""
        try:
            account = await self._store.by_username(clean_username(username))
        except Invalid:
            account = None
        if account is None:
            await self._passwords.hash(password)  # takes as long as verifying
            raise BadCredentials(_WRONG)
        await self._check(account, password)
        if self._passwords.outdated(account.password_hash):
            hashed = await self._passwords.hash(password)
            if await self._store.set_password(account, hashed):
                account = replace(account, password_hash=hashed)
        return await self._sessions.open(account, client)

    async def sign_in(self, user_id: str, client: str | None = None) -> SignedIn:
        """Without a password, for callers that know the user otherwise. Raises NoSuchUser, Unavailable."""
        account = await self._store.by_id(user_id)
        if account is None:
            raise NoSuchUser
        return await self._sessions.open(account, client)

    async def change_password(self, user_id: str, session_id: str, old: str, new: str) -> None:
        """Ends the user's other sessions. Raises BadCredentials, Invalid, BadToken, Unavailable."""
        check_password(new, "new")
        account = await self.me(user_id)
        await self._check(account, old)
        hashed = await self._passwords.hash(new)
        now = self._now()
        ended = await self._store.change_password(account, hashed, now, keep=session_id)
        if ended is None:
            raise BadCredentials(_WRONG)
        self._sessions.announce(ended, user_id, now)

    async def me(self, user_id: str) -> Account:
        """Raises BadToken if the account was erased, Unavailable."""
        account = await self._store.by_id(user_id)
        if account is None:
            raise BadToken("this account was erased")
        return account

    async def update(self, user_id: str, changes: ProfileChanges) -> Account:
        """Raises Invalid, BadToken, Unavailable."""
        check_profile(changes)
        account = await self._store.update(user_id, changes)
        if account is None:
            raise BadToken("this account was erased")
        return account

    async def search(self, query: str, after: Mark | None, limit: int) -> Found:
        """Users whose username or display name starts with `query`. Raises Unavailable."""
        return await self._store.search(search_key(query), after, limit)

    async def users(self, user_ids: Collection[str]) -> Sequence[User]:
        """Those who exist, in the order asked for. Raises Unavailable."""
        found = {user.user_id: user for user in await self._store.users(_plausible(user_ids))}
        return [found[user_id] for user_id in dict.fromkeys(user_ids) if user_id in found]

    async def known_users(self, user_ids: Collection[str]) -> set[str]:
        """Those of `user_ids` that name a user who can be talked to. Raises Unavailable."""
        return {user.user_id for user in await self._store.users(_plausible(user_ids), for_certain=True)}

    async def erase(self, user_id: str, password: str) -> None:
        """Erase a person: everything they wrote reads as erased, their sessions end, they leave all chats.

        The key goes first, for that cannot half happen, and nobody can add an erased user to a chat. Once it
        is destroyed the erasure stands; if leaving the chats cannot be completed now, `finish_erasures` goes
        on with it. Raises BadCredentials, BadToken, Unavailable.
        """
        await self._check(await self.me(user_id), password)
        now = self._now()
        ended = await self._store.erase(user_id, now)
        for_each("telling of an erased user", self.observers, lambda tell: tell(user_id))
        self._sessions.announce(ended, user_id, now)
        await self._finish(user_id)

    async def finish_erasures(self) -> int:
        """Take erased users out of chats where that was interrupted, at start and now and then; how many are
        done. Raises Unavailable."""
        return sum([await self._finish(user_id) for user_id in await self._store.leaving()])

    async def look_again(self) -> None:
        """Take those erased lately out of chats that they came into since they left all of them. Raises Unavailable.

        Whoever adds somebody asks first whether they exist, and the log has it some moments later; a process where
        the end of a sign-in is not known yet still believes its token, and lets its holder join.
        """
        for user_id in await self._store.erased_since(self._now() - MAY_COME_BACK):
            try:
                await self._leave_chats(user_id)
            except Exception:  # as in `_finish`
                log.exception("whether erased user %s is in chats is asked again", user_id, extra={"user_id": user_id})

    async def grant(self, username: str, admin: bool = True) -> None:
        """Give or take the admin role; tokens tell from the next refresh on. Raises NoSuchUser, Unavailable."""
        if not await self._store.set_admin(username.lower(), admin):
            raise NoSuchUser(f"there is no user {username}")

    async def set_mute(self, user_id: str, chat_id: str, until: datetime | None) -> None:
        """Mute a chat for a user until a time, or not at all. Raises Unavailable."""
        await self._store.set_mute(user_id, chat_id, until)

    async def mute_until(self, user_id: str, chat_ids: Collection[str]) -> dict[str, datetime]:
        """Chat → end, for those of the chats that the user has muted and still are. Raises Unavailable."""
        now = self._now()
        mutes = await self._store.mutes(user_id, chat_ids)
        return {chat_id: until for chat_id, until in mutes.items() if until > now}

    async def ping(self) -> None:
        """Return if accounts can be read. Raises Unavailable."""
        await self._store.ping()

    async def _finish(self, user_id: str) -> bool:
        try:
            await self._leave_chats(user_id)
            await self._store.left(user_id)
        except Exception:  # whatever it is, others wait for their turn
            log.exception(
                "user %s is erased but may still be in chats: this is tried again", user_id, extra={"user_id": user_id}
            )
            return False
        return True

    async def _check(self, account: Account, password: str) -> None:
        if not await self._passwords.verify(account.password_hash, password):
            raise BadCredentials(_WRONG)


def _plausible(user_ids: Collection[str]) -> list[str]:
    """Ids that could name a user: clients send text of any kind, which no store needs to see."""
    return [user_id for user_id in user_ids if is_uuid7(user_id)]
