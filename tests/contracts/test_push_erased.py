"""Which devices erased users had is overwritten in `push.db`; what waits for others stays, in its place."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands.errors import Unavailable
from events.log import RETRIES_TOPIC
from infra.app import running
from infra.layout import push_file
from infra.push import erased as module
from infra.push.erased import ErasedPushes
from infra.settings import Settings
from infra.sqlite.push_file import PushFile, Work
from infra.sqlite.push_journal import SqliteJournal
from infra.sqlite.queues import SqliteQueue
from streams.push.records import Retry, decode_retry, encode_retry

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OUTCOME = "INSERT INTO outcomes VALUES (NULL, 0, ?, ?, 'WEB', 'chat', 1, 'sent', '')"
LETTER = "INSERT INTO dead_letters VALUES (0, ?, 0, 0, 'chat', 'why', ?)"


def retry(user_id: str) -> tuple[str, bytes]:
    return encode_retry(Retry("chat", 1, "log", user_id, f"device of {user_id}", 1, 0, 0, "busy"))


def added(statement: str, *values: object) -> Work:
    return lambda db: db.execute(statement, values)


def traces(folder: Path, user_id: str) -> list[str]:
    """Files in which the device of a user is still named, wherever in them."""
    needle = f"device of {user_id}".encode()
    return [path.name for path in folder.iterdir() if needle in path.read_bytes()]


async def test_devices_of_erased_users_are_in_no_file_any_more(tmp_path: Path) -> None:
    file = PushFile(tmp_path / "push.db")
    queue = SqliteQueue(file, RETRIES_TOPIC, 1)
    for user_id in ("ana", "ben", "ana"):
        await queue.put(0, [retry(user_id)])
        await file.write(added(OUTCOME, user_id, f"device of {user_id}"))
        await file.write(added(LETTER, RETRIES_TOPIC, retry(user_id)[1]))
    await file.write(added(LETTER, RETRIES_TOPIC, b"{no json"))
    assert traces(tmp_path, "ana")

    await SqliteJournal(file).forget({"ana", "somebody"})

    assert traces(tmp_path, "ana") == []
    assert traces(tmp_path, "ben")
    await queue.put(0, [retry("cleo")])
    waiting = await queue.tail(0, 10)
    assert [item.offset for item in waiting] == [0, 1, 2, 3]
    read = [decode_retry(item.key, item.value) for item in waiting]
    assert [each.user_id for each in read] == ["erased", "ben", "erased", "cleo"]
    assert [row[0] for row in file.rows("SELECT user_id FROM outcomes")] == ["ben"]
    await file.close()


class Kept:
    """What is told to forget, which is away as often as it is told to be."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.forgotten: list[set[str]] = []
        self.news = asyncio.Event()

    async def forget(self, user_ids: Collection[str]) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("locked")
        self.forgotten.append(set(user_ids))
        self.news.set()

    async def erased(self) -> Sequence[tuple[str, datetime]]:
        return [("ana", NOON), ("ben", NOON)]


@pytest.mark.parametrize("away", [0, 2])
async def test_all_who_were_erased_before_are_forgotten_at_the_start_and_others_as_they_go(
    away: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0)
    kept = Kept(away)
    pushes = ErasedPushes(kept.forget, kept.erased)
    task = asyncio.create_task(pushes.run())
    async with asyncio.timeout(5):
        await kept.news.wait()
        kept.news.clear()
        kept.away = away
        pushes.hear("cleo")
        await kept.news.wait()
    task.cancel()
    assert kept.forgotten == [{"ana", "ben"}, {"cleo"}]


async def test_a_server_forgets_the_devices_of_who_is_erased(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", argon2_time_cost=1, argon2_memory_kib=8)
    async with running(settings) as app:
        user_id = (await app.accounts.register("ana", "correct horse", "Ana", "test")).user.user_id
        with closing(sqlite3.connect(push_file(settings.data), isolation_level=None)) as db:
            db.execute(OUTCOME, (user_id, f"device of {user_id}"))
            await app.accounts.erase(user_id, "correct horse")
            async with asyncio.timeout(10):
                while db.execute("SELECT 1 FROM outcomes").fetchone():  # noqa: ASYNC110 - by another connection
                    await asyncio.sleep(0.01)
