"""Taking a backup, of an embedded server or a cluster, while it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import create_engine, func, select

from infra.backup import manifest
from infra.backup.copies import Report, save_rows, snapshot
from infra.backup.erasures import as_line
from infra.backup.manifest import LogPart, Manifest
from infra.layout import accounts_file, log_file, views_file
from infra.log_readers import open_log_reader
from infra.private import private_folder, write_private
from infra.settings import Settings
from infra.sql.database import driver_errors
from infra.sql.tables import DataKeyRow, UserRow
from infra.sqlite.database import Damaged, quick_check
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.operators import FILE as OPERATORS
from infra.sqlite.operators import Operators
from infra.sqlite.read_through import content_damage
from infra.sqlite.registry import FileRegistry
from infra.whole import check_accounts, has_content

LOG, ACCOUNTS, DESTROYED = "log.db", "accounts.db", "destroyed.ndjson"

Begin = Callable[[str], Report]
"""Called with what comes next; gives whom to tell how far it is."""


class NothingToBackUp(Exception):
    """There is no installation where the settings say."""


class FolderInUse(Exception):
    """There is something where a backup or a restored installation is to go."""


@dataclass(frozen=True, slots=True)
class _Accounts:
    users: int
    destroyed: list[tuple[str, datetime]]


def back_up(settings: Settings, folder: Path, now: datetime, begin: Begin) -> Manifest:
    """Make a backup in a folder that is empty or not there; its manifest comes last, so what has none is no backup.

    Blocks. Raises FolderInUse, NothingToBackUp, NoLog, Corrupt, Damaged, Unavailable.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FolderInUse(f"{folder} is not empty")
    if settings.accounts_url is None and not has_content(accounts_file(settings.data)):
        check_accounts(settings.data)
        raise NothingToBackUp(f"there are no accounts in {settings.data}")
    if not settings.kafka:
        _check_log(settings.data, begin)
    with closing(open_log_reader(settings)) as reader:
        log = LogPart(reader.incarnation, reader.ends())
    private_folder(folder)
    try:
        names = _copies(settings, folder, begin)
        if LOG in names:
            with closing(SqliteLogReader(folder / LOG)) as copied:
                log = LogPart(copied.incarnation, copied.ends())
        accounts = _looked_into(folder / ACCOUNTS)
        lines = [as_line(*each) for each in accounts.destroyed]
        write_private(folder / DESTROYED, "".join(f"{line}\n" for line in lines).encode())
        parts = [manifest.part_of(folder / name) for name in (*names, DESTROYED)]
        made = Manifest(manifest.FORMAT, now, version("tidings"), log, accounts.users, len(lines), parts)
        manifest.write(folder, made)
        return made
    except BaseException:
        # It was empty when this began, and half a backup is of no use.
        for path in folder.iterdir():
            path.unlink()
        raise


def _check_log(data: Path, begin: Begin) -> None:
    """A damaged log is no backup. The served views, where they are there and whole, tell what its records said.

    Raises NoLog, Damaged, Unavailable.
    """
    log = log_file(data)
    begin("Reading the log through")
    SqliteLogReader(log).close()
    try:
        views = views_file(data, FileRegistry(data).look().served)
        wrong = content_damage(log, views, asyncio.run(Operators(data).all())) if views.exists() else ""
    except Damaged:
        if quick_check(log):
            raise
        return  # the views are, which a backup does without
    if wrong:
        raise Damaged(wrong)


def _copies(settings: Settings, folder: Path, begin: Begin) -> list[str]:
    """The log first: then no event has an author whom the accounts do not know."""
    names = []
    if not settings.kafka:
        snapshot(log_file(settings.data), folder / LOG, begin("Copying the log"))
        names.append(LOG)
        operators = settings.data / OPERATORS
        if operators.exists():
            snapshot(operators, folder / OPERATORS, begin("Copying what was discarded"))
            names.append(OPERATORS)
    report = begin("Copying the accounts")
    if settings.accounts_url is None:
        snapshot(accounts_file(settings.data), folder / ACCOUNTS, report)
    else:
        asyncio.run(save_rows(settings.accounts_url, folder / ACCOUNTS))
    return [*names, ACCOUNTS]


def _looked_into(path: Path) -> _Accounts:
    engine = create_engine(f"sqlite:///{path}")
    try:
        with driver_errors(path), engine.connect() as db:
            users = db.scalar(select(func.count()).select_from(UserRow).where(UserRow.erased_at.is_(None))) or 0
            destroyed = select(DataKeyRow.user_id, DataKeyRow.destroyed_at).where(DataKeyRow.destroyed_at.is_not(None))
            rows = db.execute(destroyed.order_by(DataKeyRow.destroyed_at, DataKeyRow.user_id)).all()
        return _Accounts(users, [(user_id, at) for user_id, at in rows if at is not None])
    finally:
        engine.dispose()
