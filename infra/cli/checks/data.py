"""Checks of the data directory: who serves it, its secrets, accounts, log and views."""

from __future__ import annotations

import asyncio
import hmac
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from commands.errors import TidingsError, Unavailable
from events.log import Record
from infra.cli.checks import Check
from infra.layout import JWT_SECRET, MASTER_KEY, accounts_file, log_file, views_file
from infra.master_key import MasterKey
from infra.secrets import parse_secret
from infra.settings import Settings
from infra.sql.inspection import Inspection, look_at, read_only_url
from infra.sqlite.database import is_served
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views_snapshot import ViewsSnapshot

GIB = 1024**3
LITTLE_SPACE, NO_SPACE = GIB, GIB // 10
MUCH_LAG = 1_000
"""Records that the views of a running server may be behind in passing."""
CLOCK_S = 5.0
NOT_SO_LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def directory(data: Path) -> Check:
    if not data.exists():
        parent = next(each for each in data.resolve().parents if each.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return Check("data", "warn", f"{data} is not there yet", "tidings serve makes it")
        return Check("data", "fail", f"{data} cannot be made in {parent}", "choose another with --data DIR")
    if not data.is_dir():
        return Check("data", "fail", f"{data} is not a directory", "choose another with --data DIR")
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        return Check("data", "fail", f"{data} is not yours to write", "become its owner, or choose another")
    return Check("data", "ok", str(data.resolve()))


def space(data: Path) -> Check:
    existing = next(each for each in (data.resolve(), *data.resolve().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / GIB:.1f} GiB free"
    if free < NO_SPACE:
        return Check("disk", "fail", found, "make room: without it no message is accepted")
    return Check("disk", "warn", found, "make room") if free < LITTLE_SPACE else Check("disk", "ok", found)


def server(data: Path) -> Check:
    try:
        served, pid = is_served(data)
    except OSError as error:
        return Check("server", "warn", f"the lock cannot be read: {error.strerror}", "ask as the server's user")
    if not served:
        return Check("server", "ok", "not running")
    return Check("server", "ok", "running" if pid is None else f"running as process {pid}")


def secrets(settings: Settings) -> list[Check]:
    data = settings.data
    sealed = accounts_file(data).exists()
    return [
        _secret(data / MASTER_KEY, "TIDINGS_MASTER_KEY", settings.master_secret is not None, sealed),
        _secret(data / JWT_SECRET, "TIDINGS_JWT_SECRET", settings.token_secret is not None, False),
    ]


def _secret(path: Path, variable: str, is_given: bool, is_needed: bool) -> Check:
    if is_given:
        return Check(path.name, "ok", f"given by {variable}")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        parse_secret(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        if is_needed:
            mend = f"put it back from your backup, or set {variable}: without it nobody reads what was written"
            return Check(path.name, "fail", "missing, and the accounts are sealed under it", mend)
        return Check(path.name, "ok", "made at the first start")
    except (OSError, ValueError) as error:
        return Check(path.name, "fail", f"cannot be read: {error}", f"put it back from your backup, or set {variable}")
    if mode & 0o077:
        return Check(path.name, "fail", f"others may read it (mode {mode:04o})", f"chmod 600 {path}")
    return Check(path.name, "ok", f"there, mode {mode:04o}")


def accounts(settings: Settings) -> Check:
    path = accounts_file(settings.data)
    if settings.accounts_url is None and not path.exists():
        return Check("accounts", "ok", "made at the first start")
    try:
        found = asyncio.run(look_at(settings.accounts_url or read_only_url(path)))
    except (TidingsError, SQLAlchemyError, ImportError) as error:
        cause = error.__cause__ or error
        return Check("accounts", "fail", f"cannot be read: {cause}", "check TIDINGS_ACCOUNTS_URL and its server")
    return _accounts(found, settings)


def _accounts(found: Inspection, settings: Settings) -> Check:
    master = settings.master_secret
    if master is None:
        try:
            master = parse_secret((settings.data / MASTER_KEY).read_text(encoding="ascii"))
        except (OSError, ValueError):
            master = None  # has a line of its own
    used = found.fingerprint
    if master is not None and used is not None and not hmac.compare_digest(MasterKey(master).fingerprint, used):
        mend = f"put the right {MASTER_KEY} back, or set TIDINGS_MASTER_KEY"
        return Check("accounts", "fail", "made with another master key than the one here", mend)
    users = f"{found.users} user{'' if found.users == 1 else 's'}"
    if found.revision != found.newest:
        standing = found.revision or "no migration"
        return Check("accounts", "warn", f"{users}; tables at {standing} of {found.newest}", "tidings serve migrates")
    return Check("accounts", "ok", f"{users}; tables up to date ({found.revision})")


def log_and_views(data: Path, now: datetime) -> list[Check]:
    """The log, the clock as against the log's, and the views as against its end."""
    path = log_file(data)
    if not path.exists():
        return [Check("log", "ok", "made at the first start"), _clock(now, None)]
    try:
        reader = SqliteLogReader(path)
    except Unavailable as error:
        return [Check("log", "fail", f"cannot be read: {error}", "restore log.db from your backup"), _clock(now, None)]
    try:
        views = _views(data, reader)  # before the end is read: the views are never ahead of it
        ends = reader.ends()
        last = [record for p, end in ends.items() if end for record in reader.records(p, end - 1, 1)]
        standing = ", ".join(f"{partition}:{end}" for partition, end in ends.items())
        found = f"{sum(ends.values())} records, ends at {standing}"
        return [Check("log", "ok", found), _clock(now, max(last, key=_time, default=None)), views]
    except Unavailable as error:
        return [Check("log", "fail", f"cannot be read: {error}", "restore log.db from your backup"), _clock(now, None)]
    finally:
        reader.close()


def _time(record: Record) -> int:
    return record.timestamp_ms


def _clock(now: datetime, last: Record | None) -> Check:
    shown = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    if now < NOT_SO_LONG_AGO:
        return Check("clock", "fail", shown, "set the clock: ids and sign-ins depend on it")
    if last is not None:
        ahead = last.timestamp_ms / 1000 - now.timestamp()
        if ahead > CLOCK_S:
            found = f"{shown}, {ahead:.0f} s behind the newest record of the log"
            return Check("clock", "fail", found, "set the clock, and keep it by NTP")
    return Check("clock", "ok", shown)


def _views(data: Path, reader: SqliteLogReader) -> Check:
    path = views_file(data, FileRegistry(data).look().served)
    rebuilt = f"stop the server and remove {path.name}: it is folded anew from the log"
    if not path.exists():
        return Check("views", "ok", "folded from the log at the next start")
    try:
        views = ViewsSnapshot(path)
    except Unavailable as error:
        return Check("views", "fail", f"cannot be read: {error}", rebuilt)
    try:
        if views.incarnation != reader.incarnation:
            return Check("views", "fail", "folded from another log", rebuilt)
        parked = views.parked()
        positions = views.positions
    finally:
        views.close()
    ends = reader.ends()
    lag = {partition: end - positions.get(partition, 0) for partition, end in ends.items()}
    if min(lag.values()) < 0:
        mend = f"was the log restored from an older copy? if so, {rebuilt}"
        return Check("views", "fail", "they stand beyond the log's end", mend)
    if parked:
        chat_id, (offset, why) = min(parked.items(), key=lambda each: each[1][0])
        found = f"{len(parked)} parked; the first chat is {chat_id}, at offset {offset}: {why}"
        return Check(
            "views", "warn", found, f"look at it: tidings events tail --no-follow --chat {chat_id} --from start"
        )
    behind = sum(lag.values())
    if behind == 0:
        return Check("views", "ok", "at the log's end")
    served, _ = is_served(data)
    if served and behind > MUCH_LAG:
        return Check("views", "warn", f"{behind} records behind", "look into the server's log if this grows")
    return Check("views", "ok", f"{behind} records behind" + ("" if served else ", folded at the next start"))
