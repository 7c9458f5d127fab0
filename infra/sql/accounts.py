"""Accounts in SQL: the adapter of `commands.accounts.AccountStore`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, not_, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from commands.accounts import Found, Mark
from commands.sealing import KEY_BYTES
from commands.users import Account, ProfileChanges, User, search_key
from infra.master_key import MasterKey
from infra.sql.database import Database
from infra.sql.keys import destroy_key
from infra.sql.sessions import end_sessions
from infra.sql.tables import ACCOUNT, DataKeyRow, MuteRow, UserRow

_USER: tuple[Any, ...] = (UserRow.user_id, UserRow.username, UserRow.display_name)
_ALIVE = UserRow.erased_at.is_(None)
_LAST = "\U0010ffff"
"""Sorts behind everything that can follow a prefix."""
_KEY_LENGTH = 64


class SqlAccounts:
    """See the port. `random`: bytes for sealing keys."""

    def __init__(self, database: Database, master_key: MasterKey, random: Callable[[int], bytes] = os.urandom) -> None:
        self._database = database
        self._master_key = master_key
        self._random = random

    async def add(self, account: Account) -> None:
        user = insert(UserRow).values(
            user_id=account.user_id,
            name_mac=self._master_key.name_mac(account.username),
            username=account.username,
            display_name=account.display_name,
            display_key=_display_key(account.display_name),
            password_hash=account.password_hash,
            push_preview=account.push_preview,
            locale=account.locale,
            admin=account.admin,
            created_at=account.created_at,
        )
        key = insert(DataKeyRow).values(
            user_id=account.user_id,
            wrapped=self._master_key.wrap(account.user_id, self._random(KEY_BYTES)),
            created_at=account.created_at,
        )

        def add(db: Connection) -> None:
            db.execute(user)
            db.execute(key)

        await self._database.write(add)

    async def by_username(self, username: str) -> Account | None:
        return await self._one(UserRow.username == username)

    async def by_id(self, user_id: str) -> Account | None:
        return await self._one(UserRow.user_id == user_id)

    async def users(self, user_ids: Collection[str], *, for_certain: bool = False) -> Sequence[User]:
        wanted = set(user_ids)
        if not wanted:
            return []
        if for_certain or not self._database.has_replicas:
            return await self._database.read(lambda db: _users(db, wanted))
        found = await self._database.browse(lambda db: _users(db, wanted))
        missing = wanted.difference(user.user_id for user in found)
        if missing:  # perhaps newer than the replica
            found += await self._database.read(lambda db: _users(db, missing))
        return found

    async def search(self, prefix: str, after: Mark | None, limit: int) -> Found:
        return await self._database.browse(lambda db: _search(db, prefix[:_KEY_LENGTH], after, limit))

    async def update(self, user_id: str, changes: ProfileChanges) -> Account | None:
        values: dict[str, Any] = dict(changes)
        if "display_name" in changes:
            values["display_key"] = _display_key(changes["display_name"])
        if values:
            change = update(UserRow).where(UserRow.user_id == user_id, _ALIVE).values(**values)
            await self._database.write(lambda db: db.execute(change))
        return await self.by_id(user_id)

    async def set_password(self, account: Account, password_hash: str) -> bool:
        return await self._database.write(lambda db: _replace_password(db, account, password_hash))

    async def change_password(self, account: Account, password_hash: str, at: datetime, keep: str) -> list[str] | None:
        def change(db: Connection) -> list[str] | None:
            if not _replace_password(db, account, password_hash):
                return None
            return end_sessions(db, account.user_id, at, but=keep)

        return await self._database.write(change)

    async def set_admin(self, username: str, admin: bool) -> bool:
        change = update(UserRow).where(UserRow.username == username).values(admin=admin)
        return await self._database.write(lambda db: db.execute(change).rowcount == 1)

    async def erase(self, user_id: str, at: datetime) -> list[str]:
        ended = await self._database.write(lambda db: _erase(db, user_id, at))
        if ended is None:
            return []
        await self._database.scrub()
        return ended

    async def leaving(self) -> Sequence[str]:
        query = select(UserRow.user_id).where(UserRow.leaving)
        return await self._database.read(lambda db: list(db.scalars(query)))

    async def left(self, user_id: str) -> None:
        change = update(UserRow).where(UserRow.user_id == user_id).values(leaving=False)
        await self._database.write(lambda db: db.execute(change))
        await self._database.scrub()

    async def erased_since(self, at: datetime) -> Sequence[str]:
        # By the key's destruction, which is of the same moment and has an index.
        erased = select(UserRow.user_id).join(DataKeyRow, DataKeyRow.user_id == UserRow.user_id)
        query = erased.where(DataKeyRow.destroyed_at >= at, ~UserRow.leaving)
        return await self._database.read(lambda db: list(db.scalars(query)))

    async def set_mute(self, user_id: str, chat_id: str, until: datetime | None) -> None:
        def set_mute(db: Connection) -> None:
            db.execute(delete(MuteRow).where(MuteRow.user_id == user_id, MuteRow.chat_id == chat_id))
            if until is not None:
                db.execute(insert(MuteRow).values(user_id=user_id, chat_id=chat_id, until=until))

        await self._database.write(set_mute)

    async def mutes(self, user_id: str, chat_ids: Collection[str]) -> Mapping[str, datetime]:
        if not chat_ids:
            return {}
        query = select(MuteRow.chat_id, MuteRow.until).where(
            MuteRow.user_id == user_id, MuteRow.chat_id.in_(set(chat_ids))
        )
        return await self._database.read(lambda db: {row.chat_id: row.until for row in db.execute(query)})

    async def ping(self) -> None:
        await self._database.read(lambda db: db.execute(select(UserRow.user_id).limit(1)).all())

    async def _one(self, whose: ColumnElement[bool]) -> Account | None:
        query = select(*ACCOUNT).where(whose, _ALIVE)
        row = await self._database.read(lambda db: db.execute(query).one_or_none())
        return None if row is None else Account(*row)


def _users(db: Connection, user_ids: Collection[str]) -> list[User]:
    return [User(*row) for row in db.execute(select(*_USER).where(UserRow.user_id.in_(user_ids), _ALIVE))]


def _search(db: Connection, prefix: str, after: Mark | None, limit: int) -> Found:
    by_username = UserRow.username.between(prefix, prefix + _LAST)
    by_display_name = and_(UserRow.display_key.between(prefix, prefix + _LAST), not_(by_username))
    marked: list[tuple[User, Mark]] = []
    if after is None or after.stage == "username":
        query = select(*_USER).where(by_username, _ALIVE).order_by(UserRow.username).limit(limit + 1)
        if after is not None:
            query = query.where(UserRow.username > after.key)
        marked += [(User(*row), Mark("username", row[1], row[0])) for row in db.execute(query)]
    if len(marked) <= limit:
        query = (
            select(*_USER, UserRow.display_key)
            .where(by_display_name, _ALIVE)
            .order_by(UserRow.display_key, UserRow.user_id)
            .limit(limit + 1 - len(marked))
        )
        if after is not None and after.stage == "display_name":
            query = query.where(
                or_(
                    UserRow.display_key > after.key,
                    and_(UserRow.display_key == after.key, UserRow.user_id > after.user_id),
                )
            )
        marked += [(User(*row[:3]), Mark("display_name", row[3], row[0])) for row in db.execute(query)]
    page = marked[:limit]
    return Found([user for user, _ in page], page[-1][1] if len(marked) > limit else None)


def _erase(db: Connection, user_id: str, at: datetime) -> list[str] | None:
    """The ended sessions, or None where there is nobody to erase."""
    erased = db.execute(
        update(UserRow)
        .where(UserRow.user_id == user_id, _ALIVE)
        .values(
            username=None,
            display_name=None,
            display_key=None,
            password_hash=None,
            push_preview=True,
            locale=None,
            admin=False,
            erased_at=at,
            leaving=True,
        )
    )
    if not erased.rowcount:
        return None
    destroy_key(db, user_id, at)
    db.execute(delete(MuteRow).where(MuteRow.user_id == user_id))
    return end_sessions(db, user_id, at)


def _replace_password(db: Connection, account: Account, password_hash: str) -> bool:
    changed = db.execute(
        update(UserRow)
        .where(UserRow.user_id == account.user_id, UserRow.password_hash == account.password_hash)
        .values(password_hash=password_hash)
    )
    return changed.rowcount == 1


def _display_key(display_name: str) -> str:
    return search_key(display_name)[:_KEY_LENGTH]
