"""A line of `tidings events tail` shows what the log has, without what was sealed, whatever the record is."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from events.codec import encode, make
from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated, Data, MemberAdded, MessageSent
from infra.cli.tail import Filter, line, starts
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM

SEALED = b"\x01" + b"n" * 12 + b"secret words, sealed"


def record(data: Data, actor_id: str = ANA, offset: int = 7) -> Record:
    value = encode(make(uuid7(NOON), ROOM, actor_id, NOON + timedelta(microseconds=5), data))
    return Record(0, offset, int(NOON.timestamp() * 1000) + 250, ROOM, value)


def raw(value: bytes) -> Record:
    return Record(0, 3, int(NOON.timestamp() * 1000), ROOM, value)


def shown(one: Record, wanted: Filter | None = None) -> dict[str, Any]:
    text = line(one, wanted or Filter())
    assert text is not None
    assert "\n" not in text
    answer: dict[str, Any] = json.loads(text)
    return answer


CREATED = ChatCreated("group", "Plans", False, "all", [ANA, BEN])
SENT = MessageSent(uuid7(NOON), "TEXT", SEALED)


def test_an_event_is_shown_as_it_is_in_the_log_with_its_place_and_time() -> None:
    one = record(CREATED)
    answer = shown(one)
    assert answer.pop("position") == "0:7"
    assert answer.pop("appended_at") == "2026-03-01T12:00:00.250Z"
    assert answer == json.loads(one.value)
    assert answer["occurred_at"] == "2026-03-01T12:00:00.000005Z"


def test_a_body_is_told_by_its_size_alone() -> None:
    one = record(SENT)
    answer = shown(one)
    assert answer["data"]["body"] == f"(sealed, {len(SEALED)} bytes)"
    assert answer["data"]["message_id"] == SENT.message_id
    assert msgspec.json.decode(one.value)["data"]["body"] not in json.dumps(answer)


def test_an_older_version_is_shown_in_its_own_shape() -> None:
    envelope = json.loads(record(CREATED).value)
    envelope["version"] = 1
    del envelope["data"]["history"]
    assert shown(raw(json.dumps(envelope).encode()))["data"] == envelope["data"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"{broken", "not an event"),
        (b"\xff\xfe", "not an event"),
        (record(SENT).value.replace(b"message.sent", b"message.eaten"), "unknown event type 'message.eaten'"),
        (record(CREATED).value.replace(b'"version":2', b'"version":9'), "unknown version 9 of chat.created"),
    ],
)
def test_a_record_that_nobody_can_read_is_shown_with_its_place_and_why(value: bytes, error: str) -> None:
    answer = shown(raw(value), Filter(type="chat.opened", user=CLEO))
    assert answer["position"] == "0:3"
    assert answer["key"] == ROOM
    assert answer["error"].startswith(error)
    assert answer["value"] == f"({len(value)} bytes)"


def test_of_another_chat_not_even_a_broken_record_is_shown() -> None:
    elsewhere = Filter(chat=uuid7(NOON))
    assert line(raw(b"{broken"), elsewhere) is None
    assert line(record(SENT), elsewhere) is None
    assert line(record(SENT), Filter(chat=ROOM)) is not None


def test_one_type_can_be_asked_for() -> None:
    assert line(record(SENT), Filter(type="message.sent")) is not None
    assert line(record(SENT), Filter(type="message.read")) is None


@pytest.mark.parametrize(
    ("data", "user", "is_shown"),
    [
        (SENT, ANA, True),
        (SENT, BEN, False),
        (MemberAdded(CLEO), CLEO, True),
        (MemberAdded(CLEO), BEN, False),
        (CREATED, BEN, True),
        (CREATED, CLEO, False),
    ],
)
def test_a_user_is_shown_with_what_they_did_and_what_was_done_to_them(data: Data, user: str, is_shown: bool) -> None:
    assert (line(record(data), Filter(user=user)) is not None) == is_shown


ENDS = {0: 40, 1: 2}


@pytest.mark.parametrize(
    ("text", "offsets"),
    [("start", {0: 0, 1: 0}), ("end", ENDS), ("0:0", {0: 0}), ("1:2", {1: 2}), ("0:99", {0: 99})],
)
def test_reading_begins_where_it_is_told_to(text: str, offsets: dict[int, int]) -> None:
    assert starts(text, ENDS) == offsets


@pytest.mark.parametrize("text", ["", "begin", "5", "0:-1", "0:1:2", "2:0"])
def test_another_beginning_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither start, end nor a position|no partition 2"):
        starts(text, ENDS)
