"""Whether what lies in a data folder belongs together: a file that got lost beside others is no new beginning."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from commands.errors import Corrupt
from infra.layout import accounts_file, log_file, ours
from infra.private import open_to_others, tighten

logger = logging.getLogger(__name__)

WAYS_OUT = "(docs/operating.md, A damaged file)"
_UNSEALED = "accounts"
"""The name in a log's `log_meta` that says: this log came without accounts, and new ones may be made beside it."""


def check(data: Path, *, accounts_elsewhere: bool) -> None:
    """Raises Corrupt where a file is missing, or empty, without which the others are of no use, and OSError where the
    folder cannot be read. What is damaged is found by whoever opens it."""
    log, accounts = log_file(data), accounts_file(data)
    if not _is_begun(log):
        others = [accounts] if has_content(accounts) else []
        others += [path for path in sorted(data.glob("views-*.db")) if has_content(path)]
        if others:
            raise Corrupt(
                f"{log} is missing or has nothing in it, but {others[0].name} is there: put it back, or restore a "
                f"backup into a new folder {WAYS_OUT}; to begin anew, take another folder"
            )
    elif not accounts_elsewhere:
        check_accounts(data)


def check_accounts(data: Path) -> None:
    """Raises Corrupt where there are events, but no accounts whose keys they are sealed under."""
    log, accounts = log_file(data), accounts_file(data)
    if not has_content(accounts) and has_events(log) and not comes_without_accounts(log):
        raise Corrupt(
            f"{accounts} is missing or empty, but {log.name} holds events, sealed under keys in it: put it back, or "
            f"restore a backup into a new folder {WAYS_OUT}; to begin anew, take another folder"
        )


def has_events(log: Path) -> bool:
    """Whether a log that can be read has a record."""
    return bool(_ask(log, "SELECT 1 FROM records LIMIT 1"))


def comes_without_accounts(log: Path) -> bool:
    return bool(_ask(log, f"SELECT 1 FROM log_meta WHERE name = '{_UNSEALED}'"))


def note_without_accounts(log: Path) -> None:
    """Of a log that was made elsewhere, such as a replay: whoever serves it makes new accounts beside it."""
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        db.execute("INSERT OR IGNORE INTO log_meta VALUES (?, 'none')", (_UNSEALED,))


def keep_private(data: Path) -> None:
    """Take from others what they could read of a data folder. Where it holds other things as well, the folder itself is
    left as it is, and that is logged."""
    found, alone = ours(data)
    tighten([*found, data] if alone else found)
    for path in open_to_others([*found, data]):
        logger.warning("others may read %s: chmod %s", path, "700" if path.is_dir() else "600")


def needs_master_key(data: Path, *, accounts_elsewhere: bool) -> bool:
    """Whether something was sealed already, so that a new master key would be a wrong one."""
    log = log_file(data)
    return has_content(accounts_file(data)) or (accounts_elsewhere and has_events(log))


def has_content(path: Path) -> bool:
    """Whether there is something, and not just an empty file."""
    return path.is_dir() or (path.exists() and path.stat().st_size > 0)


def _is_begun(log: Path) -> bool:
    """Whether there is a log, be it a damaged one."""
    if not has_content(log):
        return False
    return _ask(log, "SELECT 1 FROM log_meta WHERE name = 'incarnation'") is not False


def _ask(log: Path, query: str) -> bool | None:
    """Whether it finds a row; False also where there is no such table, None where the file cannot be asked."""
    if not has_content(log):
        return False
    try:
        with closing(sqlite3.connect(f"{log.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(query).fetchone() is not None
    except sqlite3.Error as error:
        return False if "no such table" in str(error) else None
