"""A chat out of rows: never half of one moment and half of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from commands.chat import Chat, Member
from infra.cassandra.burst import Row
from infra.cassandra.chats import load_chats
from infra.cassandra.statements import Reads
from tests.support.history import ANA, BEN, CLEO, DIRECT, ROOM


def rows_of(chat: Chat, gone: Sequence[str] = ()) -> list[Row]:
    """As Cassandra gives them: the head with each member, by user id."""
    head = (
        chat.chat_id, len(chat.members), chat.kind, chat.title, chat.open, chat.history, chat.created_by,
        chat.created_us, chat.seq, chat.n, chat.last_message_seq, chat.at_us, chat.latest_us, chat.offset, chat.applied,
        chat.void, chat.repeated,
    )  # fmt: skip
    rows = [
        (*head, 0, m.user_id, m.role, m.joined_seq, m.visible_from, m.delivered_seq, m.read_seq, m.read_n)
        for m in chat.members.values()
    ]
    rows += [(*head, 9, user_id, "member", 1, 1, 1, 1, 1) for user_id in gone]
    return sorted(rows, key=lambda row: row[18]) or [(*head, *[None] * 8)]


def chat(chat_id: str, offset: int, *users: str) -> Chat:
    members = {user: Member(user, "member", 1, 1, offset, offset, 1) for user in users}
    return Chat(chat_id, "group", None, True, "all", ANA, 5, 6, 7, 8, 9, 10, offset, 12, 13, 14, members)


class Tables:
    """Stands for a Keyspace: one answer to whoever asks for many chats, and whole chats for whoever asks for one."""

    reads = Reads.on("ks")

    def __init__(self, answer: list[Row], now: Sequence[Chat] = ()) -> None:
        self.answer = answer
        self.now = {each.chat_id: each for each in now}
        self.read_again: list[str] = []

    async def read_one(self, statement: str, chat_id: str) -> list[Row]:
        assert statement == self.reads.chat
        return self.answer

    async def read_in(self, statement: str, chat_ids: Iterable[str]) -> list[Row]:
        assert statement == self.reads.chats
        return self.answer

    async def read_unpaged(self, statement: str, *keys: Sequence[str]) -> list[list[Row]]:
        assert statement == self.reads.chat
        self.read_again += [chat_id for (chat_id,) in keys]
        return [rows_of(self.now[chat_id]) for (chat_id,) in keys]


async def load(tables: Any, *chat_ids: str) -> dict[str, Chat]:
    return await load_chats(tables, chat_ids)


async def test_heads_come_with_their_current_members() -> None:
    room, direct = chat(ROOM, 11, ANA, BEN), chat(DIRECT, 12, ANA)
    tables = Tables([*rows_of(room, gone=[CLEO]), *rows_of(direct)])
    assert await load(tables, ROOM, DIRECT, ROOM, "no chat") == {ROOM: room, DIRECT: direct}
    assert tables.read_again == []


async def test_a_chat_that_everybody_left_or_nobody_joined_has_a_head() -> None:
    assert await load(Tables(rows_of(chat(ROOM, 11), gone=[ANA])), ROOM) == {ROOM: chat(ROOM, 11)}
    assert await load(Tables(rows_of(chat(ROOM, 11))), ROOM) == {ROOM: chat(ROOM, 11)}
    assert await load(Tables([]), ROOM) == {}


@pytest.mark.parametrize("asked", [(ROOM,), (ROOM, DIRECT)])
async def test_a_chat_that_changed_between_two_pages_is_read_again_in_one(asked: tuple[str, ...]) -> None:
    before, after = chat(ROOM, 11, ANA, BEN, CLEO), chat(ROOM, 14, ANA, CLEO)
    torn = [*rows_of(before)[:1], *rows_of(after)[1:]]
    direct = chat(DIRECT, 20, ANA)
    tables = Tables([*torn, *(rows_of(direct) if DIRECT in asked else [])], [after])
    found = await load(tables, *asked)
    assert found[ROOM] == after
    assert tables.read_again == [ROOM]
    assert set(found) == set(asked)
