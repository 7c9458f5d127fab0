"""What is serialised by hand is what the driver makes of the same values, column by column and key by key."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from cassandra.cqltypes import lookup_casstype_simple
from cassandra.protocol import ColumnMetadata
from cassandra.query import UNSET_VALUE, PreparedStatement

from commands.chat import Chat, Member
from infra.cassandra.serialise import Serialiser, Unit, write_time
from infra.cassandra.statements import Writes
from infra.cassandra.tables import TABLES, id_of, key_of, week_of
from projections.ports import Changes, Entry, FileUse, FirstUse, MemberRow, Membership, Parked, Refused
from tests.support.history import ANA, BEN, DIRECT, ROOM

WRITES = Writes.on("ks")
SERIALISER = Serialiser(WRITES, "the log")
TYPES = {
    "text": "UTF8Type", "int": "Int32Type", "bigint": "LongType", "boolean": "BooleanType", "blob": "BytesType",
    "uuid": "UUIDType",
}  # fmt: skip
MESSAGE = "019cc2f4-8c00-7abc-8def-0123456789ab"
WEEK = int(MESSAGE.replace("-", "")[:12], 16) // (7 * 24 * 3600 * 1000)
RAW = b'{"message_id":"x","body":"\xc3\xa9"}'


def prepared(statement: str) -> Any:
    """The statement as a server that has our tables would have prepared it."""
    parts = re.fullmatch(r"INSERT INTO ks\.(\w+) \((.*)\) VALUES \(.*\) USING TIMESTAMP \?", statement)
    assert parts is not None
    table, columns = parts[1], parts[2].split(", ")
    types = dict(re.findall(r"(\w+) (text|int|bigint|boolean|blob|uuid)\b", TABLES[table]))
    key_text = re.search(r"PRIMARY KEY \(\((.*?)\)", TABLES[table])
    assert key_text is not None
    key = key_text[1].split(", ")
    metadata = [ColumnMetadata("ks", table, name, lookup_casstype_simple(TYPES[types[name]])) for name in columns]
    metadata.append(ColumnMetadata("ks", table, "[timestamp]", lookup_casstype_simple("LongType")))
    return PreparedStatement(metadata, b"id", [columns.index(name) for name in key], statement, "ks", 5, None, None)


def check(unit: Unit, *expected: tuple[str, dict[str, Any]]) -> None:
    assert [statement for statement, _ in unit.writes] == [statement for statement, _ in expected]
    for (statement, values), (_, natural) in zip(unit.writes, expected, strict=True):
        bound = prepared(statement).bind(natural)
        names = [column.name for column in bound.prepared_statement.column_metadata]
        assert dict(zip(names, values, strict=True)) == dict(zip(names, bound.values, strict=True))
        assert unit.key == bound.routing_key


def changes(**rows: Any) -> Changes:
    return Changes(3, 900, **rows)


def test_an_entry() -> None:
    entry = Entry(ROOM, 12_345, 678, 2**40, 1_772_366_400_000_000, "message.sent", ANA, RAW)
    [unit] = SERIALISER.rows(changes(entries=[entry]))
    natural = {
        "chat_id": ROOM, "bucket": 2, "seq": 12_345, "n": 678, "offset": 2**40, "at_us": 1_772_366_400_000_000,
        "type": "message.sent", "actor_id": ANA, "raw": RAW, "[timestamp]": 2**50,
    }  # fmt: skip
    check(unit, (WRITES.entry, natural))
    assert unit.size > len(RAW)


@pytest.mark.parametrize(("seq", "code"), [(7, None), (0, "no_such_chat")])
def test_a_first_use(seq: int, code: str | None) -> None:
    [unit] = SERIALISER.rows(changes(uses=[FirstUse(ROOM, MESSAGE, seq, code, BEN, 8)]))
    natural = {
        "chat_id": ROOM, "week": WEEK, "message_id": UUID(MESSAGE), "seq": seq,
        "code": UNSET_VALUE if code is None else code, "actor_id": BEN, "offset": 8, "[timestamp]": 8 * 1024,
    }  # fmt: skip
    check(unit, (WRITES.use, natural))


@pytest.mark.parametrize(("left", "stored"), [(None, 0), (9, 9)])
def test_a_membership_and_its_end(left: int | None, stored: int) -> None:
    [unit] = SERIALISER.rows(changes(memberships={(ANA, ROOM): Membership(ANA, ROOM, 4, left, 5)}))
    natural = {"user_id": ANA, "chat_id": ROOM, "joined_seq": 4, "left_seq": stored, "offset": 5, "[timestamp]": 5120}
    check(unit, (WRITES.membership, natural))


@pytest.mark.parametrize("message_id", [None, MESSAGE])
def test_a_refusal(message_id: str | None) -> None:
    [unit] = SERIALISER.rows(changes(refused=[Refused(ROOM, 3, 5, "ü", "forbidden", message_id)]))
    natural = {
        "chat_id": ROOM, "offset": 5, "partition": 3, "actor_id": "ü", "code": "forbidden",
        "message_id": UNSET_VALUE if message_id is None else message_id, "[timestamp]": 5120,
    }  # fmt: skip
    check(unit, (WRITES.refused, natural))


def test_a_parked_record() -> None:
    [unit] = SERIALISER.rows(changes(parked=[Parked(ROOM, 3, 5, "no JSON: ü", b"\xff\0")]))
    natural = {
        "chat_id": ROOM, "offset": 5, "partition": 3, "error": "no JSON: ü", "value": b"\xff\0", "[timestamp]": 5120,
    }  # fmt: skip
    check(unit, (WRITES.parked, natural))


def test_a_file_sent_in_a_chat() -> None:
    [unit] = SERIALISER.rows(changes(files={(MESSAGE, ROOM): FileUse(MESSAGE, ROOM, 7, 5)}))
    check(unit, (WRITES.file, {"file_id": MESSAGE, "chat_id": ROOM, "seq": 7, "offset": 5, "[timestamp]": 5120}))


def test_the_position() -> None:
    natural = {
        "projection": "chats", "partition": 3, "next_offset": 900, "incarnation": "the log", "[timestamp]": 900 * 1024,
    }  # fmt: skip
    check(SERIALISER.position(changes()), (WRITES.position, natural))


# --- a chat: its head and members together ---------------------------------------------------------------------


def member(user_id: str, seq: int) -> Member:
    return Member(user_id, "admin", 1, 2, seq, seq - 1, 3)


def member_columns(user_id: str, seq: int, left: int, offset: int) -> dict[str, Any]:
    return {
        "user_id": user_id, "role": "admin", "joined_seq": 1, "visible_from": 2, "delivered_seq": seq,
        "read_seq": seq - 1, "read_n": 3, "left_seq": left, "offset": offset,
    }  # fmt: skip


def chat(title: str | None = "Tea ☕") -> Chat:
    there = {user: member(user, 5) for user in (ANA, BEN)}
    return Chat(ROOM, "group", title, True, "all", ANA, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, there)


def head_columns(title: Any = "Tea ☕") -> dict[str, Any]:
    return {
        "chat_id": ROOM, "member_count": 2, "kind": "group", "title": title, "open": True, "history": "all",
        "created_by": ANA, "created_us": 10, "last_seq": 11, "last_n": 12, "last_message_seq": 13, "at_us": 14,
        "latest_us": 15, "last_offset": 16, "applied": 17, "void": 18, "repeated": 19,
    }  # fmt: skip


def test_a_head_goes_with_the_member_that_the_same_record_touched() -> None:
    rows = {
        (ROOM, BEN): MemberRow(ROOM, member(BEN, 4), 9, 15),
        (ROOM, ANA): MemberRow(ROOM, member(ANA, 5), None, 16),
        (ROOM, "dan"): MemberRow(ROOM, member("dan", 6), None, 16),
    }
    [unit] = SERIALISER.heads(changes(heads={ROOM: chat()}, members=rows))
    check(
        unit,
        (WRITES.member, {"chat_id": ROOM, **member_columns(BEN, 4, 9, 15), "[timestamp]": 15 * 1024}),
        (WRITES.head_and_member, {**head_columns(), **member_columns(ANA, 5, 0, 16), "[timestamp]": 16 * 1024}),
        (WRITES.member, {"chat_id": ROOM, **member_columns("dan", 6, 0, 16), "[timestamp]": 16 * 1024}),
    )


def test_a_head_whose_members_were_touched_earlier_or_not_at_all_goes_beside_them() -> None:
    rows = {(ROOM, BEN): MemberRow(ROOM, member(BEN, 4), None, 15)}
    head = (WRITES.head, {**head_columns(), "[timestamp]": 16 * 1024})
    [unit] = SERIALISER.heads(changes(heads={ROOM: chat()}, members=rows))
    check(unit, (WRITES.member, {"chat_id": ROOM, **member_columns(BEN, 4, 0, 15), "[timestamp]": 15 * 1024}), head)
    [unit] = SERIALISER.heads(changes(heads={ROOM: chat()}))
    check(unit, head)


def test_what_was_never_set_is_left_unset() -> None:
    [unit] = SERIALISER.heads(changes(heads={ROOM: chat(None)}))
    check(unit, (WRITES.head, {**head_columns(UNSET_VALUE), "[timestamp]": 16 * 1024}))


def test_each_chat_is_a_unit_of_its_own() -> None:
    rows = {
        (ROOM, ANA): MemberRow(ROOM, member(ANA, 5), None, 16),
        (DIRECT, ANA): MemberRow(DIRECT, member(ANA, 5), None, 14),
    }
    heads = {ROOM: chat(), DIRECT: Chat(DIRECT, offset=15)}
    units = list(SERIALISER.heads(changes(heads=heads, members=rows)))
    assert [unit.key for unit in units] == [ROOM.encode(), DIRECT.encode()]


# --- write times and weeks -------------------------------------------------------------------------------------


def test_a_later_record_wins_whatever_the_revision_of_an_earlier_one() -> None:
    assert write_time(7) < write_time(7, 1) < write_time(7, 1023) < write_time(8)


def test_ids_of_one_week_share_a_partition_and_what_is_no_id_names_none() -> None:
    assert week_of(MESSAGE) == WEEK
    assert week_of("00000000-0000-7000-8000-000000000000") == 0
    assert week_of("not an id") == week_of(MESSAGE.upper()) == -1


@pytest.mark.parametrize("text", [ROOM, "", "\0", "\0x", "ü" * 9_000, "x" * 60_000])
def test_any_id_can_be_a_key_and_read_back(text: str) -> None:
    key = key_of(text)
    assert 0 < len(key.encode()) < 65_536
    assert id_of(key) == text


def test_an_id_that_is_too_long_for_a_key_becomes_one_of_its_own() -> None:
    keys = {key_of(letter * 70_000) for letter in "ab"}
    assert len(keys) == 2
    assert all(len(key) < 100 and id_of(key) == key for key in keys)
    assert key_of(ROOM) == ROOM
