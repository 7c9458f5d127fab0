"""Tools read log and views beside the process that writes them, and see only what is whole."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commands.errors import Unavailable
from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated, ChatRetitled
from infra.sqlite.database import DataDirectoryInUse, DirectoryLock, is_served
from infra.sqlite.log import SqliteLog
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.views import SqliteViews, hash_of
from infra.sqlite.views_snapshot import NoViews, ViewsSnapshot
from streams.batch import BatchFold
from streams.log_reader import NoLog
from streams.rebuild import MAX_BATCH, fold_up_to
from tests.support.history import ANA, BEN, NOON, ROOM, Clock, History
from tests.support.logs import append, event


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", Clock())
    yield log
    await log.close()


def history(events: int) -> History:
    """A chat with so many events."""
    history = History()
    history.add(ANA, ChatCreated("group", "0", False, "all", [ANA, BEN]))
    history.all(ANA, (ChatRetitled(str(number)) for number in range(1, events)))
    return history


class Kept:
    """Records in memory, as a source for folds; notes how much was asked for at once."""

    def __init__(self, history: History) -> None:
        self._records = history.records
        self.limits: list[int] = []

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        self.limits.append(limit)
        return self._records[offset : offset + limit]


# --- the log -------------------------------------------------------------------------------------------------


async def test_a_reader_sees_what_was_committed_before_and_after_it_came(log: SqliteLog, tmp_path: Path) -> None:
    await append(log, event(1), event(2))
    reader = SqliteLogReader(tmp_path / "log.db")
    assert (reader.incarnation, reader.partitions) == (log.incarnation, 1)
    assert reader.ends() == {0: 2}
    await append(log, event(3))
    assert reader.ends() == {0: 3}
    assert reader.records(0, 0, 10) == await log.read(0, 0, 10)
    assert [record.offset for record in reader.records(0, 1, 1)] == [1]
    assert await reader.read(0, 3, 10) == []
    reader.close()


async def test_partitions_end_each_at_their_own_offset(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock(), 4)
    await append(log, *(event(1, uuid7(NOON)) for _ in range(20)))
    reader = SqliteLogReader(tmp_path / "log.db")
    assert reader.ends() == await log.end()
    assert sum(len(reader.records(partition, 0, 100)) for partition in range(4)) == 20
    reader.close()
    await log.close()


async def test_the_log_is_readable_when_nobody_serves_it(log: SqliteLog, tmp_path: Path) -> None:
    await append(log, event(1))
    await log.close()
    reader = SqliteLogReader(tmp_path / "log.db")
    assert len(reader.records(0, 0, 10)) == 1
    reader.close()


async def test_the_log_is_readable_after_a_crash(log: SqliteLog, tmp_path: Path) -> None:
    """What a killed process leaves: the records are in the write-ahead log alone."""
    await append(log, event(1), event(2))
    left = tmp_path / "left"
    left.mkdir()
    for name in ("log.db", "log.db-wal"):
        shutil.copy(tmp_path / name, left)
    reader = SqliteLogReader(left / "log.db")
    assert reader.ends() == {0: 2}
    reader.close()


async def test_a_reader_outlives_a_restart_of_the_writer(log: SqliteLog, tmp_path: Path) -> None:
    await append(log, event(1))
    reader = SqliteLogReader(tmp_path / "log.db")
    await log.close()
    assert reader.ends() == {0: 1}
    again = SqliteLog(tmp_path / "log.db", Clock())
    await append(again, event(2))
    assert reader.ends() == {0: 2}
    reader.close()
    await again.close()


def test_without_a_log_there_is_nothing_to_read_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoLog, match=str(tmp_path)):
        SqliteLogReader(tmp_path / "log.db")
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"something else " * 100)
    with pytest.raises(Unavailable, match="not a database"):
        SqliteLogReader(tmp_path / "log.db")


# --- the views -----------------------------------------------------------------------------------------------


async def test_a_snapshot_stays_at_one_moment_while_folding_goes_on(tmp_path: Path) -> None:
    records = Kept(history(30))
    views = SqliteViews(tmp_path / "views.db", "log", {0: 30})
    await fold_up_to(records, views, {0: 10})
    before = views.hash()
    snapshot = ViewsSnapshot(tmp_path / "views.db")
    await fold_up_to(records, views, {0: 30})
    assert snapshot.positions == {0: 10}
    assert snapshot.incarnation == "log"
    assert hash_of(snapshot.rows()) == before != views.hash()
    assert snapshot.count() == len(list(snapshot.rows())) < len(list(views.rows()))
    snapshot.close()
    views.close()


async def test_folding_up_to_a_position_stops_there_and_gives_what_was_there_then(tmp_path: Path) -> None:
    records = Kept(history(3 * MAX_BATCH))
    one = SqliteViews(tmp_path / "one.db", "log", {0: 10_000})
    for end in (1, 2, 700, 701, 1_234):  # in other batches
        await fold_up_to(records, one, {0: end})
    other = SqliteViews(tmp_path / "other.db", "log", {0: 10_000})
    folded: list[int] = []
    await fold_up_to(records, other, {0: 1_234}, folded.append)
    assert await other.positions() == {0: 1_234}
    assert one.hash() == other.hash()
    assert sum(folded) == 1_234
    assert max(records.limits) <= MAX_BATCH
    one.close()
    other.close()


async def test_folding_beyond_the_logs_end_is_refused(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 10})
    with pytest.raises(Unavailable, match="no record at 0:5"):
        await fold_up_to(Kept(history(5)), views, {0: 6})
    views.close()


async def test_parked_chats_are_told_with_the_record_that_stopped_them(tmp_path: Path) -> None:
    told = history(2)
    told.add_raw(ROOM, b"{broken")
    told.add_raw(ROOM, b"{broken again")
    views = SqliteViews(tmp_path / "views.db", "log", {0: 10})
    await views.apply(await BatchFold(views).fold(told.records))
    snapshot = ViewsSnapshot(tmp_path / "views.db")
    [(chat_id, (offset, why))] = snapshot.parked().items()
    assert (chat_id, offset) == (ROOM, 2)
    assert why.startswith("not an event")
    snapshot.close()
    views.close()


def test_without_views_there_is_no_snapshot_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoViews, match=r"views\.db"):
        ViewsSnapshot(tmp_path / "views.db")
    assert os.listdir(tmp_path) == []


# --- the lock ------------------------------------------------------------------------------------------------


def test_whoever_finds_the_directory_taken_learns_by_whom(tmp_path: Path) -> None:
    assert is_served(tmp_path) == (False, None)
    lock = DirectoryLock(tmp_path)
    assert is_served(tmp_path) == (True, os.getpid())
    with pytest.raises(DataDirectoryInUse, match=f"served by process {os.getpid()}"):
        DirectoryLock(tmp_path)
    lock.release()
    assert is_served(tmp_path) == (False, None)
    DirectoryLock(tmp_path).release()
