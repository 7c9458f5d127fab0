"""JSON Schemas of what the routes of chats answer with, made from the very structs that are sent."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

from api.http.chat_shapes import (
    REF,
    ChatAnswer,
    ChatPendingAnswer,
    ChatPositionAnswer,
    EventsAnswer,
    InboxAnswer,
    LinkAnswer,
    MembersAnswer,
    MessageAnswer,
    MessagePendingAnswer,
    MessagePositionAnswer,
    MessagesAnswer,
    MuteAnswer,
    PositionAnswer,
    PresenceAnswer,
    ReceiptsAnswer,
)
from api.past import PastAnswer
from api.shapes import DATA_SHAPES, EntryShape, EventShape

_ANSWERS = (
    ChatAnswer,
    ChatPendingAnswer,
    ChatPositionAnswer,
    InboxAnswer,
    LinkAnswer,
    MembersAnswer,
    MessageAnswer,
    MessagePendingAnswer,
    MessagePositionAnswer,
    MessagesAnswer,
    MuteAnswer,
    PastAnswer,
    PositionAnswer,
    PresenceAnswer,
    ReceiptsAnswer,
)
_TIMES = frozenset({"activity_at", "at", "created_at", "expires_at", "last_seen", "muted_until", "sent_at"})


def schema_components() -> dict[str, Any]:
    """Name → schema of every answer and of all that it is made of, for OpenAPI's components."""
    # msgspec describes unions of structs only where tags tell them apart; here the event's type does.
    event = _twin(EventShape, data=dict[str, Any])
    entry = _twin(EntryShape, event=event)
    events = _twin(EventsAnswer, items=list[entry])  # type: ignore[valid-type]
    structs = (*_ANSWERS, events, *dict.fromkeys(DATA_SHAPES.values()))
    _, components = msgspec.json.schema_components(structs, ref_template=REF)
    components[EventShape.__name__]["oneOf"] = [
        {"properties": {"type": {"const": kind}, "data": {"$ref": REF.format(name=shape.__name__)}}}
        for kind, shape in DATA_SHAPES.items()
    ]
    for component in components.values():
        for name in _TIMES & component.get("properties", {}).keys():
            component["properties"][name] = _as_time(component["properties"][name])
    return components


def _twin(shape: type[msgspec.Struct], **changed: Any) -> type[msgspec.Struct]:
    """A struct of the same name, text and fields, except for the types of some."""
    hints = get_type_hints(shape) | changed
    fields = [
        (each.name, hints[each.name])
        if each.default is msgspec.NODEFAULT
        else (each.name, hints[each.name], each.default)
        for each in msgspec.structs.fields(shape)
    ]
    return msgspec.defstruct(shape.__name__, fields, namespace={"__doc__": shape.__doc__})


def _as_time(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "string":
        return {**schema, "format": "date-time"}
    return {**schema, "anyOf": [_as_time(each) if each.get("type") == "string" else each for each in schema["anyOf"]]}
