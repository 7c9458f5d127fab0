"""Events as columns: the envelope's, then one for each field of each event type, by the published schemas.

A field's column is named `TYPE_FIELD` with an underscore for the dot, such as `message_sent_kind`, and is null in rows
of other types. Rows are in the newest shape of their type. A record that no code of ours wrote has its key as
`chat_id`, and says why in `error`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from events.codec import Undecodable, decode
from events.log import Record
from events.schemas import SCHEMAS
from events.types import NEWEST

_UTC_MS = pa.timestamp("ms", tz="UTC")
_UTC_US = pa.timestamp("us", tz="UTC")
ENVELOPE: dict[str, pa.DataType] = {
    "partition": pa.int32(),
    "offset": pa.int64(),
    "appended_at": _UTC_MS,
    "event_id": pa.string(),
    "type": pa.string(),
    "version": pa.int16(),
    "chat_id": pa.string(),
    "actor_id": pa.string(),
    "occurred_at": _UTC_US,
}
UNREADABLE: dict[str, pa.DataType] = {"error": pa.string(), "unreadable": pa.binary()}
"""Why a record is no event, and its bytes."""


def prefix(kind: str) -> str:
    """What the columns of an event type begin with, which is also the name of its view."""
    return kind.replace(".", "_")


def _arrow_type(schema: dict[str, Any]) -> pa.DataType:
    """The column type of a field. Raises ValueError for a schema that no event has had yet."""
    for choice in schema.get("anyOf", ()):
        if choice != {"type": "null"}:
            return _arrow_type(choice)
    if "enum" in schema or "const" in schema:
        return pa.string()
    match schema.get("type"):
        case "string":
            return pa.binary() if schema.get("contentEncoding") == "base64" else pa.string()
        case "integer":
            return pa.int64()
        case "boolean":
            return pa.bool_()
        case "number":
            return pa.float64()
        case "array":
            return pa.list_(_arrow_type(schema["items"]))
    raise ValueError(f"no column type is known for {schema}")


def _fields(kind: str) -> dict[str, pa.DataType]:
    published = SCHEMAS[kind, NEWEST[kind][0]]
    name = published["properties"]["data"]["$ref"].rpartition("/")[2]
    return {field: _arrow_type(schema) for field, schema in published["$defs"][name]["properties"].items()}


FIELDS: dict[str, dict[str, pa.DataType]] = {kind: _fields(kind) for kind in sorted(NEWEST)}
"""Event type → its fields, as its schema has them → column type."""
SCHEMA = pa.schema(
    [
        *ENVELOPE.items(),
        *((f"{prefix(kind)}_{field}", of) for kind, fields in FIELDS.items() for field, of in fields.items()),
        *UNREADABLE.items(),
    ]
)


def batch_of(records: Sequence[Record]) -> pa.RecordBatch:
    """Records of one partition as columns, in their order."""
    size = len(records)
    events: list[Any] = []
    bad: dict[int, str] = {}
    rows: dict[str, list[int]] = {}
    data: dict[str, list[Any]] = {}
    for row, record in enumerate(records):
        try:
            event = decode(record.value).event
        except Undecodable as error:
            bad[row] = str(error)
            events.append(None)
            continue
        events.append(event)
        rows.setdefault(event.type, []).append(row)
        data.setdefault(event.type, []).append(event.data)
    columns: list[pa.Array] = [
        pa.array([record.partition for record in records], pa.int32()),
        pa.array([record.offset for record in records], pa.int64()),
        pa.array([record.timestamp_ms for record in records], _UTC_MS),
    ]
    for name, of in list(ENVELOPE.items())[3:]:
        if name == "chat_id":
            columns.append(pa.array([record.key for record in records], of))
        else:
            columns.append(pa.array([getattr(event, name, None) for event in events], of))
    for kind, fields in FIELDS.items():
        if kind not in rows:
            columns += [pa.nulls(size, of) for of in fields.values()]
            continue
        places = _places(rows[kind], size)
        for field, of in fields.items():
            values = [getattr(each, field) for each in data[kind]]
            columns.append(pa.array(values, of) if places is None else pa.array(values, of).take(places))
    columns.append(pa.array([bad.get(row) for row in range(size)], pa.string()) if bad else pa.nulls(size, pa.string()))
    unreadable = [record.value if row in bad else None for row, record in enumerate(records)] if bad else None
    columns.append(pa.nulls(size, pa.binary()) if unreadable is None else pa.array(unreadable, pa.binary()))
    return pa.record_batch(columns, schema=SCHEMA)


def _places(rows: list[int], size: int) -> pa.Array | None:
    """For each row of the batch, which of a type's own values is its; None where all rows are of that type."""
    if len(rows) == size:
        return None
    places: list[int | None] = [None] * size
    for index, row in enumerate(rows):
        places[row] = index
    return pa.array(places, pa.int32())
