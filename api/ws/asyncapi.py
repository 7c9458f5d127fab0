"""The AsyncAPI 3 document of the socket, generated from the structs that decode and encode its frames."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any, Literal, get_args

import msgspec

from api.shapes import DATA_SHAPES
from api.ws.frames import AnyClientFrame, AnyServerFrame, ClientFrame, EventFrame, ServerFrame
from api.ws.limits import Limits

Plain = dict[str, Any]

_REF = "#/components/schemas/{name}"

SUMMARIES = {
    "connect": "The first frame, within 5 s of opening. Answered by `connected`, then by what was missed.",
    "auth": "A newer token, before the old one runs out. Answered by `ack`.",
    "send": "A message. Answered by `ack` once the log has it durably.",
    "delivered": "Everything up to this seq has reached the device. Answered by `ack` if it has an `id`.",
    "read": "Everything up to this seq was read, which implies delivered. Answered by `ack` if it has an `id`.",
    "join": "Join an open chat. Answered by `ack`.",
    "leave": "Leave a chat. Answered by `ack`.",
    "typing": "The user is typing: repeat every 3 s. Not answered.",
    "presence.watch": "Replaces the set of users whose presence is told. Answered by `ack`, then by their state.",
    "status": "This session is online, or away. Not answered.",
    "ping": "Answered by `pong`.",
    "connected": "The socket stands. Chats that are not resumed go live from `head_seq + 1`.",
    "ack": "A frame was carried out.",
    "pong": "The answer to `ping`.",
    "event": "Something happened in a chat: each seq once and in order, for each connection and chat.",
    "limited": "More is missing in this chat than is replayed: fetch it over HTTP. The chat is live after `head_seq`.",
    "chat": "You are now in this chat. Comes before its first event.",
    "gone": "You are no longer in this chat. Comes after the event that says so.",
    "receipt": "A member's watermarks moved.",
    "presence": "What a watched user is now.",
    "typing.server": "Somebody is typing; it lapses after 6 s.",
    "rejected": "The fold refused a command that had been acknowledged.",
    "error": "A frame was refused. The connection goes on.",
    "reconnect": "Come back elsewhere; the connection closes with 1012 after this.",
}

DESCRIPTION = """Text frames of one JSON object each, subprotocol `chat.v1`. Ids are strings, times RFC 3339 in UTC with
milliseconds. An unknown type, an unknown field or a bad value is answered by `error`, never by a close; clients
ignore fields, frames and event types that they do not know, and advance past the seq of such events."""


@cache
def _document(version: str) -> Plain:
    schemas = _schemas()
    messages: Plain = {}
    heard = {struct: _message(struct, messages) for struct in get_args(AnyClientFrame)}
    told = {struct: _message(struct, messages) for struct in get_args(AnyServerFrame)}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tidings", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/v1/ws",
                "description": f"Pings come every {Limits().heartbeat_s} s.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "receive": _operation("receive", heard.values()),
            "send": _operation("send", told.values()),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def document(version: str = "1") -> Plain:
    """The whole document, as plain dicts of the caller's own."""
    return deepcopy(_document(version))


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _message(struct: type[msgspec.Struct], messages: Plain) -> str:
    """Enter a frame among the messages; gives its name, which is its type unless both sides have one like it."""
    tag = _tag(struct)
    name = f"{tag}.server" if tag in messages else tag
    messages[name] = {
        "name": tag,
        "summary": SUMMARIES[name],
        "payload": {"$ref": _REF.format(name=struct.__name__)},
    }
    return name


def _operation(action: Literal["receive", "send"], names: Any) -> Plain:
    refs = [{"$ref": f"#/channels/socket/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": "#/channels/socket"}, "messages": refs}


def _schemas() -> Plain:
    """Schemas of all frames. The event frame's is put together from one for each event type, because what tells
    them apart is one level up from where they differ."""
    frames: list[type[ClientFrame | ServerFrame]] = [*get_args(AnyClientFrame), *get_args(AnyServerFrame)]
    frames.remove(EventFrame)
    events = [_event_struct(kind) for kind in DATA_SHAPES]
    _, schemas = msgspec.json.schema_components([*frames, *events], ref_template=_REF)
    _, event_frame = msgspec.json.schema_components(
        [msgspec.defstruct("EventFrame", [("chat_id", str), ("seq", int), ("n", int | None)], tag="event")]
    )
    schema = event_frame["EventFrame"]
    schema["properties"]["event"] = {
        "oneOf": [{"$ref": _REF.format(name=event.__name__)} for event in events],
        "description": "Other types may come: a client skips them, but counts their seq.",
    }
    schema["required"].append("event")
    return {**schemas, "EventFrame": schema}


def _event_struct(kind: str) -> type[msgspec.Struct]:
    name = "".join(part.title() for part in kind.replace("_", ".").split(".")) + "Event"
    fields = [("type", Literal[kind]), ("actor_id", str), ("at", str), ("data", DATA_SHAPES[kind])]
    return msgspec.defstruct(name, fields)
