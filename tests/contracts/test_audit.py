"""Whatever a store lost or has wrong of a chat, audit and verify find: on every store that operators look into."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from events.ids import uuid7
from events.types import ChatCreated, MemberAdded, MemberLeft, MessageRead, MessageSent
from infra.cassandra.fold_store import CassandraFoldStore
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.serialise import write_time
from infra.sqlite.log import SqliteLog
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.views import SqliteViews
from streams.audit import audit
from streams.rebuild import fold_up_to
from streams.verify import Comparer
from tests.support.cassandra_views import fold_store
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM, Clock, History
from tests.support.logs import append_all

CASSANDRA = pytest.param("cassandra", marks=pytest.mark.needs("cassandra"))
PICTURE, SONG = (uuid7(NOON + timedelta(seconds=900 + n)) for n in range(2))


def talk() -> History:
    """Ana and Ben and, for a while, Cleo. A picture is sent twice and a song once."""
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    history.add(ANA, MemberAdded(CLEO))
    for n, file_id in enumerate((PICTURE, None, SONG, PICTURE, None)):
        history.add(
            BEN, MessageSent(uuid7(NOON + timedelta(seconds=n)), "TEXT", b"x", file_id, file=b"y" if file_id else None)
        )
    history.add(CLEO, MemberLeft(CLEO))
    history.add(ANA, MessageRead(4))
    return history


@dataclass
class Folded:
    """A chat, folded twice: once to be damaged."""

    log: SqliteLogReader
    views: SqliteViews | CassandraFoldStore
    sound: SqliteViews
    keyspace: Keyspace | None
    path: Path

    async def damage(self, sqlite: str, cql: str, offset: int) -> None:
        """Change rows behind everybody's back, as the record at `offset` might have."""
        if self.keyspace is None:
            with sqlite3.connect(self.path) as db:
                db.execute(sqlite)
            db.close()
            return
        [*_] = self.keyspace.read_now(cql.format(k=self.keyspace.name, at=write_time(offset)))

    async def problems(self) -> list[str]:
        return [each.what for each in (await audit(self.views, self.log)).mismatches]

    async def differences(self) -> list[str]:
        found = await Comparer(self.sound, self.views, self.log).run()
        return [f"{each.what}: {each.served} {each.rebuilt}" for each in found.differences]


@pytest.fixture(params=["sqlite", CASSANDRA])
async def folded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Folded]:
    written = SqliteLog(tmp_path / "log.db", Clock())
    await append_all(written, [(record.key, record.value) for record in talk().records])
    await written.close()
    log = SqliteLogReader(tmp_path / "log.db")
    path = tmp_path / "views.db"
    sound = SqliteViews(tmp_path / "sound.db", log.incarnation, log.ends())
    keyspace: Keyspace | None = None
    views: SqliteViews | CassandraFoldStore
    if request.param == "cassandra":
        keyspace = request.getfixturevalue("keyspace")
        assert keyspace is not None
        views = fold_store(keyspace)
    else:
        views = SqliteViews(path, log.incarnation, log.ends())
    for each in (sound, views):
        await fold_up_to(log, each, log.ends())
    yield Folded(log, views, sound, keyspace, path)
    sound.close()
    if isinstance(views, SqliteViews):
        views.close()
    log.close()


async def test_a_sound_chat_has_no_problems(folded: Folded) -> None:
    assert (await folded.problems(), await folded.differences()) == ([], [])


@pytest.mark.parametrize(
    ("sqlite", "cql", "offset", "says"),
    [
        pytest.param(
            "UPDATE chats SET member_count = 7",
            f"INSERT INTO {{k}}.chats (chat_id, member_count) VALUES ('{ROOM}', 7) USING TIMESTAMP {{at}}",
            9,
            "the head counts 7 members, there are 2",
            id="count of members",
        ),
        pytest.param(
            f"DELETE FROM files WHERE file_id = '{SONG}'",
            f"DELETE FROM {{k}}.files USING TIMESTAMP {{at}} WHERE file_id = '{SONG}'",
            4,
            f"file {SONG} is sent here, and known to be sent nowhere",
            id="lost file",
        ),
        pytest.param(
            f"UPDATE files SET seq = 3, offset = 2 WHERE file_id = '{PICTURE}'",
            f"INSERT INTO {{k}}.files (file_id, chat_id, seq, offset) VALUES ('{PICTURE}', '{ROOM}', 3, 2) "
            "USING TIMESTAMP {at}",
            6,
            f"file {PICTURE} is sent here, and known to be sent at seq 3",
            id="earlier use of a file",
        ),
        pytest.param(
            f"UPDATE files SET seq = 7, offset = 6 WHERE file_id = '{PICTURE}'",
            f"INSERT INTO {{k}}.files (file_id, chat_id, seq, offset) VALUES ('{PICTURE}', '{ROOM}', 7, 6) "
            "USING TIMESTAMP {at}",
            6,
            f"file {PICTURE} is not sent here",
            id="later use of a file",
        ),
    ],
)
async def test_what_other_tables_have_wrong_is_found(
    folded: Folded, sqlite: str, cql: str, offset: int, says: str
) -> None:
    await folded.damage(sqlite, cql, offset)
    assert any(says in each for each in await folded.problems())
    assert any(says in each for each in await folded.differences())


@pytest.mark.parametrize("folded", [CASSANDRA], indirect=True)
@pytest.mark.parametrize(
    ("statement", "offset", "says"),
    [
        (f"DELETE FROM {{k}}.chats_by_user USING TIMESTAMP {{at}} WHERE user_id = '{BEN}'", 0, "not have the chat"),
        (
            f"INSERT INTO {{k}}.chats_by_user (user_id, chat_id, left_seq) VALUES ('{CLEO}', '{ROOM}', 9) "
            "USING TIMESTAMP {at}",
            7,
            "left at 8; in the list that is 2 and 9",
        ),
    ],
)
async def test_a_list_of_chats_that_is_a_table_of_its_own_is_checked_as_well(
    folded: Folded, statement: str, offset: int, says: str
) -> None:
    await folded.damage("", statement, offset)
    assert any(says in each for each in await folded.problems())
    assert any(says in each for each in await folded.differences())
