"""Whatever a store lost or has wrong of a chat, audit and verify find and repair mends: on every store."""

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
from streams.repair import BeyondRepair, mend
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
    history.add(CLEO, MessageSent(uuid7(NOON + timedelta(seconds=60)), "TEXT", b"too late"))
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
        for statement in cql.format(k=self.keyspace.name, at=write_time(offset)).split(";"):
            [*_] = self.keyspace.read_now(statement)

    async def problems(self) -> list[str]:
        return [each.what for each in (await audit(self.views, self.log)).mismatches]

    async def check_mended(self) -> None:
        """Mend the chat, twice over, and find nothing wrong with it."""
        assert await mend(ROOM, self.views, self.sound, self.log) > 0
        assert (await self.problems(), await self.differences()) == ([], [])
        assert list(self.views.rows()) == list(self.sound.rows())
        assert await mend(ROOM, self.views, self.sound, self.log) == 0

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
            "TRUNCATE {k}.files; INSERT INTO {k}.files (file_id, chat_id, seq, offset) "
            f"VALUES ('{PICTURE}', '{ROOM}', 3, 2) USING TIMESTAMP {{at}}",
            2,
            f"file {PICTURE} is sent here, and known to be sent at seq 3",
            id="earlier use of a file",
        ),
        pytest.param(
            f"UPDATE files SET seq = 7, offset = 6 WHERE file_id = '{PICTURE}'",
            f"INSERT INTO {{k}}.files (file_id, chat_id, seq, offset) VALUES ('{PICTURE}', '{ROOM}', 7, 6) "
            "USING TIMESTAMP {at}",
            5,
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
    await folded.check_mended()


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
    await folded.check_mended()


LOST = (
    "DELETE FROM timeline WHERE place & 4294967295 = 4",
    f"DELETE FROM {{k}}.timeline USING TIMESTAMP {{at}} WHERE chat_id = '{ROOM}' AND bucket = 0 AND seq = 4",
)


@pytest.mark.parametrize(
    ("sqlite", "cql", "offset"),
    [
        pytest.param(*LOST, 3, id="lost entry"),
        pytest.param(
            "UPDATE timeline SET raw = x'7b7d' WHERE place & 4294967295 = 4",
            f"UPDATE {{k}}.timeline USING TIMESTAMP {{at}} SET raw = 0xffff "
            f"WHERE chat_id = '{ROOM}' AND bucket = 0 AND seq = 4",
            3,
            id="other data",
        ),
        pytest.param(
            "UPDATE chats SET n = 9, seq = 20",
            f"INSERT INTO {{k}}.chats (chat_id, last_n, last_seq) VALUES ('{ROOM}', 9, 20) USING TIMESTAMP {{at}}",
            9,
            id="head",
        ),
        pytest.param(
            "DELETE FROM chats",
            "TRUNCATE {k}.chats",
            0,
            id="lost chat",
        ),
        pytest.param(
            f"DELETE FROM members WHERE user_id = '{BEN}'",
            f"DELETE FROM {{k}}.chats USING TIMESTAMP {{at}} WHERE chat_id = '{ROOM}' AND user_id = '{BEN}'",
            6,
            id="lost member",
        ),
        pytest.param(
            f"INSERT INTO members SELECT k, 'nobody', role, joined_seq, visible_from, delivered_seq, read_seq, read_n, "
            f"left_seq, offset FROM members WHERE user_id = '{BEN}'",
            f"INSERT INTO {{k}}.chats (chat_id, user_id, role, joined_seq, visible_from, delivered_seq, read_seq, "
            f"read_n, left_seq, offset) VALUES ('{ROOM}', 'nobody', 'member', 1, 1, 1, 1, 0, 0, 6) "
            "USING TIMESTAMP {at}",
            6,
            id="another member",
        ),
        pytest.param(
            "DELETE FROM message_ids WHERE seq = 5",
            "TRUNCATE {k}.message_ids",
            0,
            id="lost ids",
        ),
        pytest.param(
            "DELETE FROM refused",
            "TRUNCATE {k}.refused",
            0,
            id="lost refusal",
        ),
        pytest.param(
            "INSERT INTO refused SELECT k, 5, partition, actor_id, code, message_id FROM refused",
            f"INSERT INTO {{k}}.refused (chat_id, offset, partition, actor_id, code) VALUES ('{ROOM}', 5, 0, 'x', 'y') "
            "USING TIMESTAMP {at}",
            5,
            id="another refusal",
        ),
        pytest.param(
            f"INSERT INTO parked VALUES ('{ROOM}', 4, 0, 'broken', x'00')",
            f"INSERT INTO {{k}}.parked (chat_id, offset, partition, error, value) VALUES ('{ROOM}', 4, 0, 'x', 0x00) "
            "USING TIMESTAMP {at}",
            4,
            id="parked for nothing",
        ),
    ],
)
async def test_whatever_is_wrong_with_a_chat_is_mended(folded: Folded, sqlite: str, cql: str, offset: int) -> None:
    await folded.damage(sqlite, cql, offset)
    await folded.check_mended()


async def test_what_was_mended_can_be_mended_again(folded: Folded) -> None:
    sqlite, cql = LOST
    for revision in (0, 1, 2, 4, 8):
        await folded.damage(sqlite, cql.replace("{at}", str(write_time(3, revision))), 3)
        await folded.check_mended()


@pytest.mark.parametrize("folded", [CASSANDRA], indirect=True)
async def test_a_row_written_by_hand_with_a_time_of_its_own_is_beyond_repair(folded: Folded) -> None:
    await folded.damage("", f"INSERT INTO {{k}}.chats (chat_id, title) VALUES ('{ROOM}', 'Coffee')", 0)
    with pytest.raises(BeyondRepair, match="head: title"):
        await mend(ROOM, folded.views, folded.sound, folded.log)
