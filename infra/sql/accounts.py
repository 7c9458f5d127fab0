"""Accounts in SQL: the adapter of `commands.accounts.AccountStore`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, insert, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
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
        async with self._database.writing() as db:
            await db.execute(
                insert(UserRow).values(
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
            )
            await db.execute(
                insert(DataKeyRow).values(
                    user_id=account.user_id,
                    wrapped=self._master_key.wrap(account.user_id, self._random(KEY_BYTES)),
                    created_at=account.created_at,
                )
            )

    async def by_username(self, username: str) -> Account | None:
        return await self._one(UserRow.username == username)

    async def by_id(self, user_id: str) -> Account | None:
        return await self._one(UserRow.user_id == user_id)

    async def users(self, user_ids: Collection[str]) -> Sequence[User]:
        if not user_ids:
            return []
        async with self._database.reading() as db:
            rows = await db.execute(select(*_USER).where(UserRow.user_id.in_(set(user_ids)), _ALIVE))
            return [User(*row) for row in rows]

    async def search(self, prefix: str, after: Mark | None, limit: int) -> Found:
        prefix = prefix[:_KEY_LENGTH]
        by_username = UserRow.username.between(prefix, prefix + _LAST)
        by_display_name = and_(UserRow.display_key.between(prefix, prefix + _LAST), not_(by_username))
        marked: list[tuple[User, Mark]] = []
        async with self._database.reading() as db:
            if after is None or after.stage == "username":
                query = select(*_USER).where(by_username, _ALIVE).order_by(UserRow.username).limit(limit + 1)
                if after is not None:
                    query = query.where(UserRow.username > after.key)
                marked += [(User(*row), Mark("username", row[1], row[0])) for row in await db.execute(query)]
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
                marked += [(User(*row[:3]), Mark("display_name", row[3], row[0])) for row in await db.execute(query)]
        page = marked[:limit]
        return Found([user for user, _ in page], page[-1][1] if len(marked) > limit else None)

    async def update(self, user_id: str, changes: ProfileChanges) -> Account | None:
        values: dict[str, Any] = dict(changes)
        if "display_name" in changes:
            values["display_key"] = _display_key(changes["display_name"])
        if values:
            async with self._database.writing() as db:
                await db.execute(update(UserRow).where(UserRow.user_id == user_id, _ALIVE).values(**values))
        return await self.by_id(user_id)

    async def set_password(self, account: Account, password_hash: str) -> bool:
        async with self._database.writing() as db:
            return await _replace_password(db, account, password_hash)

    async def change_password(self, account: Account, password_hash: str, at: datetime, keep: str) -> list[str] | None:
        async with self._database.writing() as db:
            if not await _replace_password(db, account, password_hash):
                return None
            return await end_sessions(db, account.user_id, at, but=keep)

    async def set_admin(self, username: str, admin: bool) -> bool:
        async with self._database.writing() as db:
            changed = await db.execute(update(UserRow).where(UserRow.username == username).values(admin=admin))
            return changed.rowcount == 1

    async def erase(self, user_id: str, at: datetime) -> list[str]:
        async with self._database.writing() as db:
            erased = await db.execute(
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
                return []
            await destroy_key(db, user_id, at)
            await db.execute(delete(MuteRow).where(MuteRow.user_id == user_id))
            ended = await end_sessions(db, user_id, at)
        await self._database.scrub()
        return ended

    async def leaving(self) -> Sequence[str]:
        async with self._database.reading() as db:
            return list(await db.scalars(select(UserRow.user_id).where(UserRow.leaving)))

    async def left(self, user_id: str) -> None:
        async with self._database.writing() as db:
            await db.execute(update(UserRow).where(UserRow.user_id == user_id).values(leaving=False))
        await self._database.scrub()

    async def set_mute(self, user_id: str, chat_id: str, until: datetime | None) -> None:
        own = and_(MuteRow.user_id == user_id, MuteRow.chat_id == chat_id)
        async with self._database.writing() as db:
            await db.execute(delete(MuteRow).where(own))
            if until is not None:
                await db.execute(insert(MuteRow).values(user_id=user_id, chat_id=chat_id, until=until))

    async def mutes(self, user_id: str, chat_ids: Collection[str]) -> Mapping[str, datetime]:
        if not chat_ids:
            return {}
        query = select(MuteRow.chat_id, MuteRow.until).where(
            MuteRow.user_id == user_id, MuteRow.chat_id.in_(set(chat_ids))
        )
        async with self._database.reading() as db:
            return {row.chat_id: row.until for row in await db.execute(query)}

    async def ping(self) -> None:
        async with self._database.reading() as db:
            await db.execute(select(UserRow.user_id).limit(1))

    async def _one(self, whose: ColumnElement[bool]) -> Account | None:
        async with self._database.reading() as db:
            row = (await db.execute(select(*ACCOUNT).where(whose, _ALIVE))).one_or_none()
        return None if row is None else Account(*row)


async def _replace_password(db: AsyncConnection, account: Account, password_hash: str) -> bool:
    changed = await db.execute(
        update(UserRow)
        .where(UserRow.user_id == account.user_id, UserRow.password_hash == account.password_hash)
        .values(password_hash=password_hash)
    )
    return changed.rowcount == 1


def _display_key(display_name: str) -> str:
    return search_key(display_name)[:_KEY_LENGTH]
