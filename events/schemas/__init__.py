"""JSON Schemas of every (type, version) ever written, as files beside this one.

`python -m events.schemas` writes those of the newest versions. A file of an old version never changes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from events.types import NEWEST

Schema = dict[str, Any]
_FOLDER = Path(__file__).parent


def generated() -> dict[tuple[str, int], Schema]:
    """The schemas of the newest versions, from the code."""
    return {(kind, version): _envelope(kind, version, data) for kind, (version, data) in NEWEST.items()}


def _envelope(kind: str, version: int, data: type[msgspec.Struct]) -> Schema:
    (described,), definitions = msgspec.json.schema_components([data], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tidings:event:{kind}:{version}",
        "title": f"{kind}, version {version}",
        "type": "object",
        "properties": {
            "event_id": {"type": "string", "format": "uuid", "description": "UUIDv7 of this event"},
            "type": {"const": kind},
            "version": {"const": version},
            "chat_id": {"type": "string", "format": "uuid", "description": "also the record's key"},
            "actor_id": {"type": "string", "format": "uuid", "description": "who did it"},
            "occurred_at": {"type": "string", "format": "date-time", "description": "UTC, microseconds"},
            "data": described,
        },
        "required": ["event_id", "type", "version", "chat_id", "actor_id", "occurred_at", "data"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _stored() -> dict[tuple[str, int], Schema]:
    found = {}
    for path in sorted(_FOLDER.glob("*.json")):
        kind, version = path.name.removesuffix(".json").rsplit(".v", 1)
        found[kind, int(version)] = json.loads(path.read_text())
    return found


SCHEMAS = _stored()
"""(type, version) → its published schema."""
