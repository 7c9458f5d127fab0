"""Restoring a backup into a new data directory, or its accounts into an empty PostgreSQL beside the log in Kafka."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.backup import manifest
from infra.backup.copies import load_rows
from infra.backup.erasures import erase_again, erased_by, read_list
from infra.backup.manifest import BadBackup, Manifest
from infra.backup.taking import ACCOUNTS, DESTROYED, LOG, Begin, FolderInUse
from infra.layout import JWT_SECRET, MASTER_KEY, accounts_file, log_file
from infra.log_readers import open_log_reader
from infra.master_key import MasterKey
from infra.private import private_folder
from infra.secrets import parse_secret
from infra.settings import Settings
from infra.sql.database import Database, sqlite_url
from infra.sqlite.database import LOCK_FILE, DirectoryLock, translated
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.operators import FILE as OPERATORS

_MAY_BE_THERE = {MASTER_KEY, JWT_SECRET, LOCK_FILE}
_PREFIX = ".restoring-"


class NoMasterKey(Exception):
    """Nobody gave the key under which the accounts were sealed."""


class OtherKind(Exception):
    """A backup of an embedded server is not one of a cluster."""


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    erased: int
    """Keys that were there in the backup and had been destroyed since."""


def restore(settings: Settings, folder: Path, lists: Sequence[Path], begin: Begin) -> Restored:
    """Restore what `folder` has; whoever is erased by the backup, by one of `lists` (NDJSON) or by the log stays so.

    Nothing can be served before they are erased. Blocks. Raises BadBackup, FolderInUse, Occupied, NoMasterKey,
    OtherKind, Corrupt for another master key, NoLog, Unavailable.
    """
    made = manifest.read(folder)
    if made.has(LOG) and settings.kafka:
        raise OtherKind(f"{folder} has an embedded log, and the settings name Kafka")
    if not made.has(LOG) and not settings.kafka:
        raise OtherKind(f"{folder} has the accounts of a cluster alone, and the settings name no Kafka")
    erased: dict[str, datetime] = {}
    for path in (folder / DESTROYED, *lists):
        erased = read_list(path) | erased
    data = settings.data
    found = {path.name for path in data.iterdir()} if data.exists() else set()
    if not settings.kafka and (more := {name for name in found - _MAY_BE_THERE if not name.startswith(_PREFIX)}):
        raise FolderInUse(f"{data} is not empty: it has {sorted(more)[0]}")
    master_key = MasterKey(_master_secret(settings))
    _check(folder, made, begin)
    private_folder(data)
    lock = None if settings.kafka else DirectoryLock(data)
    try:
        with TemporaryDirectory(prefix=_PREFIX, dir=data) as scratch:
            count = _put(settings, folder, made, Path(scratch), master_key, erased, begin)
    finally:
        if lock is not None:
            lock.release()
    return Restored(made, count)


def _check(folder: Path, made: Manifest, begin: Begin) -> None:
    report, total, read = begin("Checking the backup"), sum(part.size for part in made.files), 0

    def add(size: int) -> None:
        nonlocal read
        read += size
        report(read, total)

    manifest.check(folder, made, add)


def _put(
    settings: Settings,
    folder: Path,
    made: Manifest,
    scratch: Path,
    master_key: MasterKey,
    erased: dict[str, datetime],
    begin: Begin,
) -> int:
    """Bring everything into order beside its place, and then into it; gives how many keys were destroyed again."""
    for part in made.files:
        shutil.copyfile(folder / part.name, scratch / part.name)
        os.chmod(scratch / part.name, 0o600)
    begin("Reading the log for erased people")
    if settings.kafka:
        reader = open_log_reader(settings)
    else:
        _become_another(scratch / LOG)
        reader = SqliteLogReader(scratch / LOG)
    with closing(reader):
        erased = erased_by(reader, reader.ends()) | erased
    begin("Restoring the accounts")
    count = asyncio.run(_accounts(settings, scratch / ACCOUNTS, master_key, erased))
    if not settings.kafka:
        if (scratch / OPERATORS).exists():
            (scratch / OPERATORS).rename(settings.data / OPERATORS)
        (scratch / LOG).rename(log_file(settings.data))
    if settings.accounts_url is None:
        (scratch / ACCOUNTS).rename(accounts_file(settings.data))
    return count


async def _accounts(settings: Settings, path: Path, master_key: MasterKey, erased: Mapping[str, datetime]) -> int:
    """Erase whom the copy still has, and only then let PostgreSQL have it, if it is to."""
    database = await Database.open(sqlite_url(path), master_key)
    try:
        count = await erase_again(database, master_key, erased)
    finally:
        await database.close()
    if settings.accounts_url is not None:
        tables = await Database.open(settings.accounts_url, master_key)
        await tables.close()
        await load_rows(path, settings.accounts_url)
    return count


def _become_another(log: Path) -> None:
    """Offsets beyond the backup's will name other events than they did, so this is another log to all who keep some."""
    with translated(log), closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute("UPDATE log_meta SET value = ? WHERE name = 'incarnation'", (str(uuid.uuid4()),))


def _master_secret(settings: Settings) -> bytes:
    if settings.master_secret is not None:
        return settings.master_secret
    path = settings.data / MASTER_KEY
    if not path.exists():
        raise NoMasterKey(f"there is no {path}, and TIDINGS_MASTER_KEY is not set")
    try:
        return parse_secret(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise BadBackup(f"{path} holds no secret: {error}") from error
