"""`tidings admin`: roles and users, straight in the database of accounts, with or without a running server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from commands.accounts import Mark
from commands.users import User
from infra.cli.faults import Fault
from infra.layout import accounts_file, log_file
from infra.master_key import MasterKey
from infra.secrets import load_master
from infra.settings import Settings
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database, sqlite_url
from infra.sql.keys import SqlKeys
from infra.sql.reveals import Reveal
from infra.sql.reveals import reveals as all_reveals
from infra.whole import check_accounts, comes_without_accounts, has_content, has_events

PAGE = 200


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[tuple[Database, MasterKey]]:
    """The database of accounts, where there is one. Raises Fault, Corrupt, Unavailable."""
    path = accounts_file(settings.data)
    if settings.accounts_url is None and not has_content(path):
        check_accounts(settings.data)
        raise Fault(
            f"there are no accounts in {settings.data}", "name the data directory with --data DIR or TIDINGS_DATA"
        )
    master_key = MasterKey(load_master(settings.data, settings.master_secret))
    log = log_file(settings.data)
    is_new = bool(settings.kafka) or not has_events(log) or comes_without_accounts(log)
    database = await Database.open(settings.accounts_url or sqlite_url(path), master_key, may_be_new=is_new)
    try:
        yield database, master_key
    finally:
        await database.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[SqlAccounts]:
    """The store of accounts, where there is one. Raises Fault, Corrupt, Unavailable."""
    async with opened_database(settings) as (database, master_key):
        yield SqlAccounts(database, master_key)


async def reveals(settings: Settings) -> Sequence[Reveal]:
    """Who had bodies opened, oldest first. Raises Fault, Corrupt, Unavailable."""
    async with opened_database(settings) as (database, _):
        return await all_reveals(database)


async def destroyed(settings: Settings) -> Sequence[tuple[str, datetime]]:
    """Whose sealing keys were destroyed, oldest first. Raises Fault, Corrupt, Unavailable."""
    async with opened_database(settings) as (database, master_key):
        return await SqlKeys(database, master_key).destroyed()


async def set_admin(settings: Settings, username: str, admin: bool) -> None:
    """Give or take the role. Raises Fault where there is no such user, Corrupt, Unavailable."""
    async with opened(settings) as store:
        if not await store.set_admin(username.lower(), admin):
            raise Fault(f"there is no user {username}", "tidings admin users lists them")


async def user_id_of(settings: Settings, username: str) -> str:
    """Raises Fault where there is no such user, Corrupt, Unavailable."""
    async with opened(settings) as store:
        account = await store.by_username(username.lower())
    if account is None:
        raise Fault(f"there is no user {username}", "tidings admin users lists them")
    return account.user_id


async def users(settings: Settings) -> AsyncGenerator[User, None]:
    """All users by name, page by page. Raises Fault, Corrupt, Unavailable."""
    async with opened(settings) as store:
        after: Mark | None = None
        while True:
            found = await store.search("", after, PAGE)
            for user in found.users:
                yield user
            after = found.following
            if after is None:
                return
