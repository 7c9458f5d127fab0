"""Who was erased, by what a backup and later lists say, and by the log; and erasing them again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from events.codec import Undecodable, decode
from events.types import MemberLeft
from infra.backup.manifest import BadBackup
from infra.master_key import MasterKey
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database
from infra.sql.keys import SqlKeys
from streams.log_reader import LogReader

_TRACE = b'"erased"'


class Destroyed(msgspec.Struct, frozen=True):
    """A line of a list: whose key was destroyed, and when."""

    user_id: str
    at: datetime


def read_list(path: Path) -> dict[str, datetime]:
    """User → when, from NDJSON. Raises BadBackup, and OSError where it cannot be read."""
    try:
        lines = [msgspec.json.decode(line, type=Destroyed) for line in path.read_bytes().splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        raise BadBackup(f"{path} is no list of destroyed keys: {error}") from error
    return {line.user_id: line.at for line in lines}


def as_line(user_id: str, at: datetime) -> str:
    return msgspec.json.encode(Destroyed(user_id, at)).decode()


def erased_by(log: LogReader, ends: Mapping[int, int]) -> dict[str, datetime]:
    """User → when they left a chat because they were erased. Reads the whole log. Raises Unavailable."""
    found: dict[str, datetime] = {}
    for partition, end in ends.items():
        for batch in log.batches(partition, 0, end):
            for record in batch:
                if _TRACE not in record.value:
                    continue
                try:
                    event = decode(record.value).event
                except Undecodable:
                    continue
                if isinstance(event.data, MemberLeft) and event.data.reason == "erased":
                    found.setdefault(event.data.user_id, event.occurred_at)
    return found


async def erase_again(database: Database, master_key: MasterKey, erased: Mapping[str, datetime]) -> int:
    """Erase accounts and destroy keys that are there; gives how many keys that were. Raises Unavailable."""
    accounts, keys = SqlAccounts(database, master_key), SqlKeys(database, master_key)
    before = len(await keys.destroyed())
    for user_id, at in erased.items():
        await accounts.erase(user_id, at)
    await keys.destroy_again(list(erased.items()))
    return len(await keys.destroyed()) - before
