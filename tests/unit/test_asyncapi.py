"""The AsyncAPI document says what the structs do: no more, no less. Every frame that the gateway's tests see is
checked against it as well (tests/support/world.py).
"""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from api.shapes import DATA_SHAPES
from api.ws.asyncapi import document
from api.ws.frames import AnyClientFrame, AnyServerFrame, Refused, decode
from events.types import NEWEST
from tests.support.contract import check_heard, check_told

HEARD: list[dict[str, Any]] = [
    {"type": "connect", "id": "1", "token": "t"},
    {"type": "connect", "id": "1", "token": "t", "resume": {"c": 1}, "client": {"name": "n"}, "ext": {"x": [1]}},
    {"type": "auth", "id": "1", "token": "t"},
    {"type": "send", "id": "1", "chat_id": "c", "message_id": "m", "kind": "TEXT", "text": "hi"},
    {"type": "send", "id": "1", "chat_id": "c", "message_id": "m", "kind": "FILE", "file_id": "f"},
    {
        "type": "send",
        "id": "1",
        "chat_id": "c",
        "message_id": "m",
        "kind": "TEXT",
        "text": "a",
        "reply_to_message": "r",
    },
    {"type": "delivered", "chat_id": "c", "up_to_seq": 1},
    {"type": "read", "chat_id": "c", "up_to_seq": 1, "id": "1"},
    {"type": "join", "id": "1", "chat_id": "c"},
    {"type": "leave", "id": "1", "chat_id": "c"},
    {"type": "typing", "chat_id": "c"},
    {"type": "presence.watch", "id": "1", "user_ids": ["u"]},
    {"type": "status", "status": "away"},
    {"type": "ping", "id": "1"},
]


@pytest.mark.parametrize("frame", HEARD, ids=lambda frame: frame["type"])
def test_frames_of_the_contract_are_documented_and_decoded(frame: dict[str, Any]) -> None:
    check_heard(frame)
    assert not isinstance(decode(msgspec.json.encode(frame)), Refused)


@pytest.mark.parametrize("name", ["a\u202eb", "a\n", "\u2028", "\x9b", "x" * 201])
def test_what_a_client_says_of_itself_is_one_line(name: str) -> None:
    for field in ("name", "version", "platform", "device_id"):
        frame = {**HEARD[0], "client": {field: name}}
        with pytest.raises(ValidationError):
            check_heard(frame)
        assert isinstance(decode(msgspec.json.encode(frame)), Refused)
        fine = {**HEARD[0], "client": {field: "Ana\u2019s 👩‍🚀 phone"}}
        check_heard(fine)
        assert not isinstance(decode(msgspec.json.encode(fine)), Refused)


@pytest.mark.parametrize("frame", HEARD, ids=lambda frame: frame["type"])
def test_an_unknown_field_is_refused_by_both(frame: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check_heard({**frame, "colour": "red"})
    refused = decode(msgspec.json.encode({**frame, "colour": "red"}))
    assert isinstance(refused, Refused)
    assert refused.error.code == "unknown_field"


@pytest.mark.parametrize(
    ("frame", "field"),
    [(frame, field) for frame in HEARD for field in frame if field in ("id", "token", "chat_id", "status", "user_ids")],
    ids=lambda value: value["type"] if isinstance(value, dict) else value,
)
def test_a_wrong_type_is_refused_by_both(frame: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError):
        check_heard({**frame, field: 7})
    assert isinstance(decode(msgspec.json.encode({**frame, field: 7})), Refused)


def test_every_frame_is_documented_with_a_summary() -> None:
    described = document()
    messages = described["components"]["messages"]
    assert len(messages) == len(get_args(AnyClientFrame)) + len(get_args(AnyServerFrame))
    assert all(message["summary"] for message in messages.values())
    assert set(described["channels"]["socket"]["messages"]) == set(messages)


def test_every_reference_leads_somewhere() -> None:
    described = document()

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for each in node:
                walk(each)
        elif isinstance(node, dict):
            if "$ref" in node:
                target: Any = described
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for each in node.values():
                walk(each)

    walk(described)


def test_every_event_that_takes_a_seq_is_documented() -> None:
    assert set(DATA_SHAPES) == set(NEWEST) - {"message.delivered", "message.read", "chat.held", "chat.released"}


def test_the_schemas_are_json_schema_and_the_document_is_plain_json() -> None:
    described = document("1.2.3")
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(described)) == described
    assert (described["asyncapi"], described["info"]["version"]) == ("3.0.0", "1.2.3")


def test_a_caller_may_change_its_copy() -> None:
    document()["info"]["title"] = "mine"
    assert document()["info"]["title"] == "Tidings"


def test_the_check_of_told_frames_is_strict() -> None:
    check_told({"type": "gone", "chat_id": "c"})
    with pytest.raises(ValidationError):
        check_told({"type": "gone", "chat_id": "c", "more": 1})
    with pytest.raises(KeyError):
        check_told({"type": "ping", "id": "1"})
