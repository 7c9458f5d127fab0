"""A line of `tidings events tail` shows what the log has, without what was sealed, whatever the record is."""

import json
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from commands.sealing import Sealed
from events.codec import encode, make
from events.ids import uuid7
from events.log import Record
from events.types import ChatCreated, ChatRetitled, Data, MemberAdded, MessageSent
from infra.cli.lines import Filter, as_json, as_table, shown
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM

SEALED = b"\x01" + b"n" * 12 + b"secret words, sealed"


def record(data: Data, actor_id: str = ANA, offset: int = 7) -> Record:
    value = encode(make(uuid7(NOON), ROOM, actor_id, NOON + timedelta(microseconds=5), data))
    return Record(0, offset, int(NOON.timestamp() * 1000) + 250, ROOM, value)


def raw(value: bytes) -> Record:
    return Record(0, 3, int(NOON.timestamp() * 1000), ROOM, value)


def line(one: Record, wanted: Filter | None = None) -> str | None:
    found = shown([one], wanted or Filter())
    return as_json(found[0]) if found else None


def shown_of(one: Record, wanted: Filter | None = None) -> dict[str, Any]:
    text = line(one, wanted)
    assert text is not None
    assert "\n" not in text
    answer: dict[str, Any] = json.loads(text)
    return answer


CREATED = ChatCreated("group", "Plans", False, "all", [ANA, BEN])
SENT = MessageSent(uuid7(NOON), "TEXT", SEALED)


def test_an_event_is_shown_as_it_is_in_the_log_with_its_place_and_time() -> None:
    one = record(CREATED)
    answer = shown_of(one)
    assert answer.pop("position") == "0:7"
    assert answer.pop("appended_at") == "2026-03-01T12:00:00.250Z"
    assert answer == json.loads(one.value)
    assert answer["occurred_at"] == "2026-03-01T12:00:00.000005Z"


def test_a_body_is_told_by_its_size_alone() -> None:
    one = record(SENT)
    answer = shown_of(one)
    assert answer["data"]["body"] == f"(sealed, {len(SEALED)} bytes)"
    assert answer["data"]["message_id"] == SENT.message_id
    assert msgspec.json.decode(one.value)["data"]["body"] not in json.dumps(answer)


def test_what_a_file_is_is_told_by_its_size_alone_and_opened_beside_the_text() -> None:
    one = record(MessageSent(uuid7(NOON), "FILE", SEALED, uuid7(NOON), file=SEALED))
    assert shown_of(one)["data"]["file"] == f"(sealed, {len(SEALED)} bytes)"
    (opened,) = shown([one], Filter(), lambda sealed: ["the text", '{"name": "plan.txt"}'])
    assert (opened["data"]["text"], opened["data"]["file"]) == ("the text", {"name": "plan.txt"})
    (erased,) = shown([one], Filter(), lambda sealed: [None, None])
    assert (erased["data"]["text"], erased["data"]["erased"], "file" in erased["data"]) == (None, True, False)


def test_an_older_version_is_shown_in_its_own_shape() -> None:
    envelope = json.loads(record(CREATED).value)
    envelope["version"] = 1
    del envelope["data"]["history"]
    assert shown_of(raw(json.dumps(envelope).encode()))["data"] == envelope["data"]


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
    answer = shown_of(raw(value), Filter(types=["chat.opened"], user=CLEO))
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
    assert line(record(SENT), Filter(types=["chat.opened", "message.sent"])) is not None
    assert line(record(SENT), Filter(types=["message.read"])) is None


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


def test_bodies_that_were_opened_take_the_seals_place() -> None:
    asked: list[object] = []

    def opened(bodies: Collection[Sealed]) -> list[str | None]:
        asked.extend(bodies)
        return ["hello", None]

    first, other, created = shown([record(SENT), record(SENT, BEN), record(CREATED)], Filter(), opened)
    assert first["data"] == {"message_id": SENT.message_id, "kind": "TEXT", "text": "hello"}
    assert other["data"] == {"message_id": SENT.message_id, "kind": "TEXT", "text": None, "erased": True}
    assert "body" not in created["data"]
    assert asked == [(ROOM, SENT.message_id, author, SEALED) for author in (ANA, BEN)]


def test_columns_stay_one_line_whatever_somebody_wrote() -> None:
    [one] = shown([record(ChatRetitled("two\nlines \x1b[31m"))], Filter())
    text = as_table(one)
    assert text.isprintable()
    assert text.startswith("0:7          2026-03-01 12:00:00.250 chat.retitled")
    assert text.endswith("title=two·lines ·[31m")
    [long] = shown([record(ChatRetitled("x" * 200))], Filter())
    assert as_table(long).endswith("x…")
    [broken] = shown([raw(b"{broken")], Filter())
    assert "(unreadable)" in as_table(broken)
