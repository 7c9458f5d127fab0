"""Frames checked against the AsyncAPI document, more strictly than a client would: no field may be unknown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from api.ws.asyncapi import document

Plain = dict[str, Any]


def check_told(frame: Mapping[str, Any]) -> None:
    """A frame from the server. Raises ValidationError, or KeyError for a type that is not documented."""
    _validator("send", frame["type"]).validate(frame)


def check_heard(frame: Mapping[str, Any]) -> None:
    """A frame from a client, as `check_told`."""
    _validator("receive", frame["type"]).validate(frame)


@cache
def _validator(action: str, kind: str) -> Draft202012Validator:
    described = document()
    messages = described["components"]["messages"]
    refs = [ref["$ref"].rsplit("/", 1)[1] for ref in described["operations"][action]["messages"]]
    payload = {messages[name]["name"]: messages[name]["payload"] for name in refs}[kind]
    return Draft202012Validator({**payload, "components": {"schemas": _closed(described["components"]["schemas"])}})


def _closed(schema: Any) -> Any:
    """The same schema, with objects that take no other properties than those named."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
