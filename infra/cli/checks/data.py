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

from commands.errors import Corrupt, TidingsError, Unavailable
from events.log import Record
from infra import whole
from infra.cli.checks import Check
from infra.layout import (
    JWT_SECRET,
    MASTER_KEY,
    accounts_file,
    files_folder,
    incoming_folder,
    log_file,
    ours,
    push_file,
    views_file,
)
from infra.master_key import MasterKey
from infra.private import open_to_others
from infra.secrets import parse_secret
from infra.settings import Settings
from infra.sql.database import WAY_OUT as ACCOUNTS_WAY_OUT
from infra.sql.inspection import Inspection, look_at, read_only_url
from infra.sqlite.database import LOCK_FILE, Damaged, Unusable, connect_read_only, is_served, quick_check
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.operators import FILE as OPERATORS
from infra.sqlite.operators import WAY_OUT as OPERATORS_WAY_OUT
from infra.sqlite.operators import Operators
from infra.sqlite.push_file import WAY_OUT as PUSH_WAY_OUT
from infra.sqlite.read_through import content_damage
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views_snapshot import ViewsSnapshot

GIB = 1024**3
LITTLE_SPACE, NO_SPACE = GIB, GIB // 10
READ_THROUGH = 4 * GIB
"""Larger files are left to `tidings audit` and `tidings backup`."""
COMPARED = GIB // 4
"""The same, of comparing the log with its views, which takes some 10 µs an event."""
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


def private(data: Path) -> Check:
    if not data.exists():
        return Check("private", "ok", "made for its owner alone")
    kept, alone = ours(data)
    # The folder keeps others from all that is in it.
    loose = list(open_to_others([data])) and (list(open_to_others(kept)) or [data])
    if not loose:
        return Check("private", "ok", "nobody but its owner may read it")
    mode = stat.S_IMODE(loose[0].stat().st_mode)
    mend = "tidings serve mends it at its next start" if alone else f"chmod 700 {data}, or take a folder for it alone"
    return Check("private", "warn", f"others may read {loose[0]} (mode {mode:04o})", mend)


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
    sealed = whole.needs_master_key(data, accounts_elsewhere=settings.accounts_url is not None)
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
        if path.is_symlink():
            return Check(path.name, "fail", "a link that leads nowhere", f"put it back, or set {variable}")
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
    if settings.accounts_url is None and not whole.has_content(path):
        try:
            whole.check_accounts(settings.data)
        except Corrupt as error:
            return _incomplete("accounts", error)
        return Check("accounts", "ok", "made at the first start")
    try:
        found = asyncio.run(look_at(settings.accounts_url or read_only_url(path)))
        if settings.accounts_url is None and (trouble := _read_through("accounts", path, ACCOUNTS_WAY_OUT)):
            return trouble
    except (Damaged, Unusable) as error:
        mend = f"{ACCOUNTS_WAY_OUT}; TIDINGS_ACCOUNTS_URL names another database"
        return Check("accounts", "fail", f"cannot be read: {error}", mend)
    except (TidingsError, SQLAlchemyError, ImportError) as error:
        cause = error.__cause__ or error
        cause = getattr(cause, "orig", None) or cause  # without the library's words around it
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
    if found.too_new:
        what, _, mend = found.too_new.partition(": ")
        return Check("accounts", "fail", what, mend)
    path, log = accounts_file(settings.data), log_file(settings.data)
    lost = not found.users_ever and settings.accounts_url is None and whole.has_events(log)
    if lost and not whole.comes_without_accounts(log):
        return Check("accounts", "fail", f"there is a log, and nobody in {path.name}", ACCOUNTS_WAY_OUT)
    users = f"{found.users} user{'' if found.users == 1 else 's'}"
    if found.newer:
        return Check("accounts", "ok", f"{users}; tables of a newer release ({found.revision}), which this one can use")
    if found.revision != found.newest:
        standing = found.revision or "no migration"
        return Check("accounts", "warn", f"{users}; tables at {standing} of {found.newest}", "tidings serve migrates")
    return Check("accounts", "ok", f"{users}; tables up to date ({found.revision})")


def log_and_views(data: Path, now: datetime, *, accounts_elsewhere: bool = False) -> list[Check]:
    """The log, the clock as against the log's, and the views as against its end."""
    path = log_file(data)
    try:
        whole.check(data, accounts_elsewhere=accounts_elsewhere)
    except Corrupt as error:
        return [_incomplete("log", error), _clock(now, None)]
    if not path.exists():
        return [Check("log", "ok", "made at the first start"), _clock(now, None)]
    try:
        reader = SqliteLogReader(path)
    except Unavailable as error:
        return [Check("log", "fail", f"cannot be read: {error}", "restore log.db from your backup"), _clock(now, None)]
    try:
        if trouble := _read_through("log", path, "restore log.db from your backup"):
            return [trouble, _clock(now, None)]
        if trouble := _compared(data):
            return [trouble, _clock(now, None)]
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


def others(data: Path) -> list[Check]:
    """What is there besides, and damaged: nothing where all is well."""
    found = []
    for path, way_out in ((push_file(data), PUSH_WAY_OUT), (data / OPERATORS, OPERATORS_WAY_OUT)):
        if path.exists() and (trouble := _read_through(path.stem, path, way_out)):
            found.append(trouble)
    found += [
        Check(folder.name, "fail", f"{folder} is no folder", "move it away: tidings serve makes one")
        for folder in (files_folder(data), incoming_folder(data))
        if folder.exists() and not folder.is_dir()
    ]
    if (lock := data / LOCK_FILE).is_dir():
        found.append(Check("lock", "fail", f"{lock} is a folder", "remove it: tidings serve makes the file"))
    return found


def _compared(data: Path) -> Check | None:
    """What of the log's records is not what was folded. Of a very large log that is left to the audit."""
    try:
        views = views_file(data, FileRegistry(data).look().served)
        if not views.exists() or log_file(data).stat().st_size > COMPARED:
            return None
        wrong = content_damage(log_file(data), views, asyncio.run(Operators(data).all()))
    except Unavailable:
        return None  # of the views, the registry or what operators left: they have lines of their own
    what, _, mend = wrong.rpartition(": ")
    return Check("log", "fail", what, mend) if wrong else None


def _incomplete(name: str, error: Corrupt) -> Check:
    what, _, mend = str(error).partition(": ")
    return Check(name, "fail", what, mend)


def _read_through(name: str, path: Path, mend: str) -> Check | None:
    """What SQLite finds wrong in a file. Reads all of it, but of a very large one only that it can be opened."""
    try:
        if path.is_dir() or path.stat().st_size < READ_THROUGH:
            wrong = quick_check(path)
        else:
            connect_read_only(path).close()
            wrong = ""
    except Unavailable as error:
        return Check(name, "fail", f"cannot be read: {error}", mend)
    return Check(name, "fail", f"{path.name} is damaged: {wrong}", mend) if wrong else None


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
    try:
        path = views_file(data, FileRegistry(data).look().served)
    except Unavailable as error:
        return Check("views", "fail", str(error), "put generations.json back, or remove it")
    rebuilt = f"stop the server and remove {path.name}: it is folded anew from the log"
    if not path.exists():
        return Check("views", "ok", "folded from the log at the next start")
    try:
        views = ViewsSnapshot(path)
    except Unavailable as error:
        return Check("views", "fail", f"cannot be read: {error}", rebuilt)
    try:
        if trouble := _read_through("views", path, rebuilt):
            return trouble
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
