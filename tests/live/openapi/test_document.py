"""The OpenAPI document itself: its form, and that it names every code that routes answer with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.live.chats import test_refusals
from tests.support.server import Server

Json = dict[str, Any]

CODES_OF_CHATS = {
    "GET /v1/chats": "bad_cursor not_yet",
    "POST /v1/chats": "no_such_user chat_id_taken group_full id_from_future",
    "PUT /v1/chats/direct/{user_id}": "no_such_user",
    "GET /v1/chats/{chat_id}": "no_such_chat not_yet",
    "PATCH /v1/chats/{chat_id}": "no_such_chat forbidden direct_chat",
    "PUT /v1/chats/{chat_id}/mute": "no_such_chat",
    "GET /v1/chats/{chat_id}/members": "no_such_chat bad_cursor not_yet",
    "POST /v1/chats/{chat_id}/members": "no_such_chat no_such_user forbidden direct_chat group_full",
    "DELETE /v1/chats/{chat_id}/members/{user_id}": "no_such_chat no_such_user forbidden direct_chat",
    "PUT /v1/chats/{chat_id}/members/{user_id}/role": "no_such_chat no_such_user forbidden direct_chat",
    "POST /v1/chats/{chat_id}/join": "no_such_chat direct_chat group_full",
    "POST /v1/chats/{chat_id}/leave": "no_such_chat direct_chat",
    "POST /v1/chats/{chat_id}/messages": (
        "no_such_chat no_such_file id_taken expired too_large bad_reply id_from_future rate_limited"
    ),
    "GET /v1/chats/{chat_id}/messages": "no_such_chat not_yet",
    "GET /v1/chats/{chat_id}/messages/{message_id}": "no_such_chat no_such_message not_yet",
    "GET /v1/chats/{chat_id}/events": "no_such_chat not_yet",
    "POST /v1/chats/{chat_id}/delivered": "no_such_chat beyond_head",
    "POST /v1/chats/{chat_id}/read": "no_such_chat beyond_head",
    "GET /v1/chats/{chat_id}/receipts": "no_such_chat not_yet",
    "POST /v1/presence/query": "",
    "POST /v1/files": "rate_limited",
    "GET /v1/files/{file_id}": "no_such_file expired out_of_range",
    "GET /v1/files/{file_id}/thumbnail": "no_such_file expired out_of_range",
    "GET /v1/files/{file_id}/url": "no_such_file expired",
}
"""Besides those that every route, or every route with a body, may answer with."""


CODES = {
    *("bad_json", "bad_credentials", "bad_token", "forbidden", "no_such_chat", "no_such_user", "no_such_message"),
    *("no_such_file", "username_taken", "chat_id_taken", "id_taken", "direct_chat", "group_full", "beyond_head"),
    *("too_large", "invalid", "unknown_field", "bad_cursor", "bad_reply", "id_from_future", "rate_limited"),
    *("unavailable", "not_yet", "expired"),
}
"""Of the contract."""


@pytest.fixture(scope="module")
def document(server: Server) -> Json:
    read: Json = httpx.get(f"{server.url}/openapi.json").json()
    return read


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def codes(operation: Json) -> dict[int, set[str]]:
    return {
        int(status): set(re.findall(r"`([a-z_]+)`", response["description"]))
        for status, response in operation["responses"].items()
    }


def test_it_is_openapi_3_1_with_sound_schemas_and_no_reference_into_nothing(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    assert references
    assert {reference.rpartition("/")[2] for reference in references} <= schemas.keys()
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("label", CODES_OF_CHATS)
def test_a_route_of_chats_names_its_codes(document: Json, label: str) -> None:
    operation = dict(operations(document))[label]
    named = set().union(*codes(operation).values())
    general = {"bad_token", "invalid", "unavailable", "internal"}
    if "requestBody" in operation:
        general |= {"bad_json", "too_large", "unknown_field"}
    if not operation.get("parameters") and "requestBody" not in operation:
        general -= {"invalid"}
    assert named == general | set(CODES_OF_CHATS[label].split())


def test_every_route_of_chats_is_listed_above(document: Json) -> None:
    found = {label for label, _ in operations(document) if re.search(r" /v1/(chats|presence|files)", label)}
    assert found == set(CODES_OF_CHATS)


def test_every_refusal_that_is_tried_is_documented_where_it_is_given(document: Json) -> None:
    documented = {label: codes(operation) for label, operation in operations(document)}
    patterns = {label: re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(label)) + "$") for label in documented}
    tried = 0
    for _, method, path, _, status, code in test_refusals.CASES:
        call = f"{method} /v1{path.partition('?')[0]}"
        (label, *_) = sorted((each for each, pattern in patterns.items() if pattern.match(call)), key=len)
        assert code in documented[label][status], (call, status, code)
        tried += 1
    assert tried > 300


def test_all_codes_of_the_contract_are_there(document: Json) -> None:
    named = set().union(*(each for _, operation in operations(document) for each in codes(operation).values()))
    assert named >= CODES
