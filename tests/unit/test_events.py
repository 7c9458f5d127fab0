"""Envelopes, versions and places: what stands in the log for ever."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from events import codec
from events.ids import direct_chat_id, id_ms, is_uuid7, unix_ms, unix_us, uuid7
from events.log import Position
from events.partitioner import murmur2, partition_of
from events.schemas import SCHEMAS, generated
from events.types import NEWEST, ChatCreated, Data, MemberLeft, MessageRead, MessageSent, RoleChanged
from events.upcast import UPCASTERS
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM

SAMPLES: dict[str, Data] = {
    "chat.created": ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]),
    "member.left": MemberLeft(ANA, "erased"),
    "member.role_changed": RoleChanged(BEN, "admin"),
    "message.sent": MessageSent(uuid7(NOON), "TEXT", b"\x01sealed"),
    "message.read": MessageRead(7),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_written_is_read_back(kind: str) -> None:
    event = codec.make(uuid7(NOON), ROOM, ANA, NOON, SAMPLES[kind])
    decoded = codec.decode(codec.encode(event))
    assert decoded.event == event
    assert event.type == kind
    assert codec.data_decoder(kind).decode(decoded.raw) == SAMPLES[kind]


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_written_fits_its_published_schema(kind: str) -> None:
    written = json.loads(codec.encode(codec.make(uuid7(NOON), ROOM, ANA, NOON, SAMPLES[kind])))
    jsonschema.validate(written, SCHEMAS[kind, NEWEST[kind][0]])


def test_every_type_and_version_ever_written_has_a_schema() -> None:
    newest = {(kind, version) for kind, (version, _) in NEWEST.items()}
    assert set(SCHEMAS) == newest | set(UPCASTERS)


def test_the_published_schemas_are_those_of_the_code() -> None:
    for (kind, version), schema in generated().items():
        assert SCHEMAS[kind, version] == schema, f"run `python -m events.schemas` and look at the change of {kind}"


def written(kind: str, version: int, data: dict[str, Any], **over: Any) -> bytes:
    envelope = {
        "event_id": uuid7(NOON),
        "type": kind,
        "version": version,
        "chat_id": ROOM,
        "actor_id": ANA,
        "occurred_at": NOON.isoformat(),
        "data": data,
    }
    return json.dumps({**envelope, **over}).encode()


@pytest.mark.parametrize(("opened", "history"), [(True, "all"), (False, "since_join")])
def test_a_chat_created_before_history_could_be_chosen_is_lifted(opened: bool, history: str) -> None:
    old = {"kind": "group", "title": "Tea", "open": opened, "member_ids": [ANA]}
    value = written("chat.created", 1, old)
    jsonschema.validate(json.loads(value), SCHEMAS["chat.created", 1])
    decoded = codec.decode(value)
    assert decoded.event.data == ChatCreated("group", "Tea", opened, history, [ANA])  # type: ignore[arg-type]
    assert decoded.event.version == 2
    assert json.loads(decoded.raw)["history"] == history


def test_a_row_that_was_folded_before_a_version_came_is_lifted_like_its_record() -> None:
    old = {"kind": "group", "title": "Tea", "open": True, "member_ids": [ANA]}
    assert codec.decode_row("chat.created", json.dumps(old).encode()) == ChatCreated("group", "Tea", True, "all", [ANA])
    for raw in (b'{"kind":"group"}', b"{}", json.dumps({**old, "mood": "good"}).encode(), b"[]", b"\xff"):
        with pytest.raises(msgspec.DecodeError):
            codec.decode_row("chat.created", raw)
    with pytest.raises(KeyError):
        codec.decode_row("moon.landed", b"{}")


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_row_of_today_reads_as_what_was_folded(kind: str) -> None:
    assert codec.decode_row(kind, msgspec.json.encode(SAMPLES[kind])) == SAMPLES[kind]


UNREADABLE = {
    "no JSON": b"{",
    "no UTF-8": b"\xff",
    "an unknown type": written("moon.landed", 1, {}),
    "a version from the future": written("message.read", 2, {"up_to_seq": 1}),
    "version zero": written("chat.created", 0, {}),
    "a field too many": written("message.read", 1, {"up_to_seq": 1, "mood": "good"}),
    "a field too few": written("message.read", 1, {}),
    "a wrong type": written("message.read", 1, {"up_to_seq": "1"}),
    "an old version in a new shape": written("chat.created", 1, {"kind": "group"}),
    "a time without zone": written("message.read", 1, {"up_to_seq": 1}, occurred_at="2026-01-01T00:00:00"),
    "an unknown envelope field": written("message.read", 1, {"up_to_seq": 1}, colour="red"),
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_no_code_of_ours_wrote_is_undecodable(value: bytes) -> None:
    with pytest.raises(codec.Undecodable):
        codec.decode(value)


def test_headers_carry_type_and_version() -> None:
    event = codec.make(uuid7(NOON), ROOM, ANA, NOON, MessageRead(1))
    assert codec.headers(event) == [("type", b"message.read"), ("version", b"1")]


def test_ids_carry_their_time_in_canonical_spelling() -> None:
    made = {uuid7(NOON + timedelta(milliseconds=step)) for step in range(1000)}
    assert len(made) == 1000
    assert all(is_uuid7(one) for one in made)
    assert id_ms(uuid7(NOON)) == unix_ms(NOON) == unix_us(NOON) // 1000
    for wrong in ("", "x", uuid7(NOON).upper(), uuid7(NOON)[:-1], direct_chat_id(ANA, BEN), "{" + uuid7(NOON) + "}"):
        assert not is_uuid7(wrong)


def test_a_direct_chat_has_one_id_whoever_asks() -> None:
    assert direct_chat_id(ANA, BEN) == direct_chat_id(BEN, ANA) != direct_chat_id(ANA, CLEO)


def test_partitions_are_those_of_every_kafka_client() -> None:
    # Vectors from Apache Kafka's own UtilsTest.
    signed = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    for key, value in signed.items():
        assert murmur2(key) == value % 2**32
    assert partition_of(ROOM, 1) == 0
    assert {partition_of(uuid7(NOON), 4) for _ in range(200)} == {0, 1, 2, 3}


def test_positions_are_written_as_partition_and_offset() -> None:
    assert str(Position(3, 14)) == "3:14"
    assert Position.parse("3:14") == Position(3, 14)
    for wrong in ("", "3", "3:", ":4", "-1:4", "3:14:1", "3: 14", "३:१४", "9" * 30 + ":1"):
        with pytest.raises(ValueError, match="not a position"):
            Position.parse(wrong)


def test_the_schemas_are_files_that_others_can_read() -> None:
    folder = Path(codec.__file__).parent / "schemas"
    assert {path.name for path in folder.glob("*.json")} == {f"{kind}.v{version}.json" for kind, version in SCHEMAS}
