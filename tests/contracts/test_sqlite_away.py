"""Files of the embedded product that are locked, full, closed or damaged: for as long as that takes, and no longer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import infra.sqlite.push_file
import infra.sqlite.views
from api.errors import problem
from commands.errors import Unavailable
from events.ids import uuid7
from events.types import ChatCreated, MessageSent
from infra.memory.fanout import MemoryFanout
from infra.sqlite.chat_views import SqliteChatViews
from infra.sqlite.database import Damaged
from infra.sqlite.log import SqliteLog
from infra.sqlite.operators import Operators, append_durably
from infra.sqlite.push_file import PushFile
from infra.sqlite.push_journal import read_journal
from infra.sqlite.queues import SqliteHolder, SqliteQueue
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views import SqliteViews
from infra.sqlite.views_snapshot import ViewsSnapshot
from streams.batch import BatchFold
from streams.generations import Generations
from streams.push.queues import Held
from tests.support.history import ANA, BEN, NOON, ROOM, Clock, History
from tests.support.logs import append_all

PATIENCE_S = 10


def history(messages: int) -> History:
    told = History()
    told.add(ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    for number in range(messages):
        told.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=number)), "TEXT", b"x"))
    return told


def lock(path: Path) -> sqlite3.Connection:
    """A writer that holds its lock until it is closed."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def takes_all(path: Path) -> sqlite3.Connection:
    """Nobody can even open the file beside it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")
    return other


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


# --- views -------------------------------------------------------------------------------------------------------


async def test_views_are_written_again_once_a_lock_is_released_however_often_that_failed(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 100}, busy_s=0)
    changes = await BatchFold(views).fold(history(3).records)
    with closing(lock(tmp_path / "views.db")):
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"views\.db answers: database is locked"):
                await views.apply(changes)
            assert await views.positions() == {}, "readers are not kept out"
    await views.apply(changes)
    assert (await views.positions(), (await views.load([ROOM]))[ROOM].seq) == ({0: 4}, 4)
    views.close()


async def test_views_that_could_not_be_opened_again_are_opened_by_whoever_asks_next(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path / "views.db", "log", {0: 100}, busy_s=0)
    changes = await BatchFold(views).fold(history(3).records)
    with closing(lock(tmp_path / "views.db")), pytest.raises(Unavailable):
        await views.apply(changes)
    with closing(takes_all(tmp_path / "views.db")):
        for ask in (views.positions, views.ping, lambda: views.load([ROOM]), lambda: views.apply(changes)) * 2:
            with pytest.raises(Unavailable, match="locked"):
                await ask()
    await views.apply(changes)
    await views.ping()
    assert (await views.load([ROOM]))[ROOM].seq == 4
    views.close()


async def test_the_fold_stands_still_only_while_its_views_are_away_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.runner.RETRY_S", (0.01,))
    log = SqliteLog(tmp_path / "log.db", Clock())
    told = history(3)
    await append_all(log, [(record.key, record.value) for record in told.records[:2]])

    def open_views(generation: int) -> SqliteViews:
        return SqliteViews(tmp_path / "views.db", log.incarnation, log.ends(), busy_s=0)

    generations = await Generations.open(log, FileRegistry(tmp_path), open_views, MemoryFanout(), "test")
    running = asyncio.create_task(generations.run())
    partition = next(number for number, end in (await log.end()).items() if end)
    measures = generations.measures
    await until(lambda: generations.positions[1].get(partition) == 2)
    await generations.ping()
    with closing(lock(tmp_path / "views.db")):
        await append_all(log, [(record.key, record.value) for record in told.records[2:]])
        await until(lambda: partition in measures.waiting)
        with pytest.raises(Unavailable, match="1 partitions wait"):
            await generations.ping()
        assert (await generations.views.chats([ROOM]))[ROOM].seq == 2
        refused: list[Path] = []

        def refuse(path: Path, *_: Any) -> sqlite3.Connection:
            refused.append(path)
            raise Unavailable("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(infra.sqlite.views, "connect", refuse)
            await until(lambda: len(refused) > 2)
            assert partition in measures.waiting
    await until(lambda: generations.positions[1].get(partition) == 4)
    await until(lambda: partition not in measures.waiting)
    await generations.ping()
    assert (await generations.views.chats([ROOM]))[ROOM].seq == 4
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    generations.close()
    await log.close()


async def test_a_fold_that_had_to_wait_is_well_again_without_another_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch was written though its commit seemed to fail: nothing is left to fold."""
    monkeypatch.setattr("streams.runner.RETRY_S", (0.01,))
    log = SqliteLog(tmp_path / "log.db", Clock())
    failed = False

    class Unsure(SqliteViews):
        async def apply(self, changes: Any) -> None:
            nonlocal failed
            await super().apply(changes)
            if not failed:
                failed = True
                raise Unavailable("who knows")

    generations = await Generations.open(
        log,
        FileRegistry(tmp_path),
        lambda _: Unsure(tmp_path / "views.db", log.incarnation, log.ends()),
        MemoryFanout(),
        "test",
    )
    running = asyncio.create_task(generations.run())
    await append_all(log, [(record.key, record.value) for record in history(1).records])
    await until(lambda: failed and not generations.measures.waiting)
    await generations.ping()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    generations.close()
    await log.close()


# --- push.db -----------------------------------------------------------------------------------------------------


async def test_push_db_is_opened_again_after_a_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = PushFile(tmp_path / "push.db")
    monkeypatch.setattr(infra.sqlite.push_file, "_BUSY_S", 0)
    queue = SqliteQueue(file, "notifications", 1)
    await queue.put(0, [("a", b"1")])
    await file.write(lambda db: db.execute("PRAGMA busy_timeout = 0"))
    with closing(lock(tmp_path / "push.db")), pytest.raises(Unavailable, match=r"push\.db answers"):
        await queue.put(0, [("b", b"2")])
    with closing(takes_all(tmp_path / "push.db")):
        for _ in range(2):
            with pytest.raises(Unavailable, match="locked"):
                await queue.put(0, [("b", b"2")])
            with pytest.raises(Unavailable, match="locked"):
                queue.waiting()
    assert queue.waiting() == 1
    await queue.put(0, [("b", b"2")])
    assert [item.key for item in await queue.tail(0, 9)] == ["a", "b"]
    await file.close()


async def test_what_a_failed_work_did_is_undone_in_push_db(tmp_path: Path) -> None:
    file = PushFile(tmp_path / "push.db")
    queue = SqliteQueue(file, "notifications", 1)

    def breaks(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO items VALUES ('notifications', 0, 0, 'a', x'00')")
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await file.write(breaks)
    assert queue.waiting() == 0
    await queue.put(0, [("b", b"2")])
    assert [item.key for item in await queue.tail(0, 9)] == ["b"]
    await file.close()


async def test_a_holder_raises_what_a_work_raises_and_not_a_group(tmp_path: Path) -> None:
    file = PushFile(tmp_path / "push.db")
    queue = SqliteQueue(file, "notifications", 2)

    async def work(held: Held) -> None:
        raise Unavailable(f"no {held.partition}")

    with pytest.raises(Unavailable, match="no 0"):
        await SqliteHolder([queue]).hold({"notifications": work})
    await file.close()


# --- the registry, and the letterbox of operators ----------------------------------------------------------------


async def test_a_registry_in_a_folder_that_cannot_be_written_is_away_and_told_again_later(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    obstacle = tmp_path / "generation.served.new"
    obstacle.mkdir()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"generation\.served cannot be written"):
            await registry.tell("1", 1)
    obstacle.rmdir()
    await registry.tell("1", 1)
    assert (tmp_path / "generation.served").read_text() == "1 1\n"
    (tmp_path / "generations.lock").mkdir()
    with pytest.raises(Unavailable, match=r"generations\.lock cannot be written"):
        await registry.serve(1)


async def test_an_answer_that_nobody_waits_for_any_more_harms_nobody() -> None:
    told: list[Any] = []

    class Log:
        def append_raw(self, key: str, value: bytes, done: Any) -> None:
            told.append(done)

    waiting = asyncio.create_task(append_durably(Log(), "key", b"value"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    told[0](None, Unavailable())


# --- damage ------------------------------------------------------------------------------------------------------


async def _views(path: Path) -> None:
    SqliteViews(path, "log", {0: 100}).close()


async def _read_views(path: Path) -> None:
    await SqliteChatViews(path).positions()


async def _snapshot(path: Path) -> None:
    ViewsSnapshot(path).close()


async def _push(path: Path) -> None:
    PushFile(path)


async def _journal(path: Path) -> None:
    read_journal(path, 0, 10)


async def _operators(path: Path) -> None:
    await Operators(path.parent).all()


@pytest.mark.parametrize(
    ("name", "ask", "way_out"),
    [
        ("views-1.db", _views, "remove it"),
        ("views-1.db", _read_views, "remove it"),
        ("views-1.db", _snapshot, "remove it"),
        ("push.db", _push, "remove it"),
        ("push.db", _journal, "remove it"),
        ("operators.db", _operators, "put it back"),
    ],
)
async def test_a_damaged_file_is_named_with_the_way_out(
    tmp_path: Path, name: str, ask: Callable[[Path], Any], way_out: str
) -> None:
    (tmp_path / name).write_bytes(b"something else " * 1_000)
    with pytest.raises(Damaged) as raised:
        await ask(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name} is damaged (")
    assert str(tmp_path) not in problem(raised.value, NOON)["detail"], "a path is nothing for clients"
    assert way_out in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_damage_inside_views_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    views = SqliteViews(path, "log", {0: 10_000})
    for start in range(0, 500, 100):
        await views.apply(await BatchFold(views).fold(history(500).records[start : start + 100]))
    views.close()
    data = bytearray(path.read_bytes())
    data[2 * 4096 :] = b"\xff" * (len(data) - 2 * 4096)
    path.write_bytes(data)
    broken = SqliteChatViews(path)
    with pytest.raises(Damaged, match=r"views\.db is damaged"):
        await broken.load([ROOM])
    broken.close()
