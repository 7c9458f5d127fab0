"""The envelope and its bytes: JSON, so that any tool can read the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from events.ids import id_ms, is_uuid7
from events.types import NEWEST, TYPE_OF, Data, MessageSent
from events.upcast import UPCASTERS, upcast

TRACE_HEADER = "traceparent"
_USUAL_HEADERS = 2


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened. `chat_id` is also the key in the log; `occurred_at` is aware UTC, in µs."""

    event_id: str
    type: str
    version: int
    chat_id: str
    actor_id: str
    occurred_at: datetime
    data: Data


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """An event read from the log, with the newest-shape JSON of its data as views keep it."""

    event: Event
    raw: bytes
    id_us: int
    """The time inside a message's id, in µs since 1970; -1 where the id is no UUIDv7, 0 for other events."""


class _Raw(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    event_id: str
    type: str
    version: int
    chat_id: str
    actor_id: str
    occurred_at: datetime
    data: msgspec.Raw


class Undecodable(Exception):
    """Bytes that no code of ours wrote: broken JSON, an unknown type or version, a wrong shape."""


_encoder = msgspec.json.Encoder()
_envelope = msgspec.json.Decoder(_Raw)


def make(event_id: str, chat_id: str, actor_id: str, occurred_at: datetime, data: Data) -> Event:
    """An event of the newest version of its type."""
    kind = TYPE_OF[type(data)]
    return Event(event_id, kind, NEWEST[kind][0], chat_id, actor_id, occurred_at, data)


def encode(event: Event) -> bytes:
    """The bytes of an event, as they stand in the log."""
    return _encoder.encode(event)


def headers(event: Event) -> list[tuple[str, bytes]]:
    """Record headers: tools filter by them without decoding the value."""
    return [("type", event.type.encode()), ("version", str(event.version).encode())]


def trace_of(found: Sequence[tuple[str, bytes | None]] | None) -> str:
    """The `traceparent` among a record's headers, or "". Nearly always there are none but type and version."""
    if found is None or len(found) <= _USUAL_HEADERS:
        return ""
    return next(((value or b"").decode(errors="replace") for name, value in found if name == TRACE_HEADER), "")


_plain = msgspec.json.Decoder(dict[str, Any])


@cache
def data_decoder(kind: str) -> msgspec.json.Decoder[Data]:
    """The decoder of the newest shape of a type. Raises KeyError for an unknown type."""
    return msgspec.json.Decoder(NEWEST[kind][1])


def decode_row(kind: str, raw: bytes) -> Data:
    """The data of an event as a view has it: `raw` of `Decoded`, of whatever version was the newest when it was folded.
    Rows name no version. Shapes know each other by their fields, of which none may be missing or unknown.

    Raises KeyError for an unknown type, and msgspec.DecodeError for what no version has written.
    """
    try:
        return data_decoder(kind).decode(raw)
    except msgspec.ValidationError:
        newest = NEWEST[kind][0]
        for version in range(newest - 1, 0, -1):
            try:
                return data_decoder(kind).decode(_encoder.encode(upcast(kind, version, newest, _plain.decode(raw))))
            except (msgspec.ValidationError, KeyError, TypeError):
                continue
        raise


def decode(value: bytes) -> Decoded:
    """Read an event, lifted to the newest version of its type. Raises Undecodable."""
    try:
        envelope = _envelope.decode(value)
        kind, version = envelope.type, envelope.version
        if kind not in NEWEST:
            raise Undecodable(f"unknown event type {kind!r}")
        newest = NEWEST[kind][0]
        raw = bytes(envelope.data)
        if version != newest:
            if not 1 <= version < newest or (kind, version) not in UPCASTERS:
                raise Undecodable(f"unknown version {version} of {kind}")
            raw = _encoder.encode(upcast(kind, version, newest, msgspec.json.decode(raw)))
        data = data_decoder(kind).decode(raw)
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise Undecodable(f"not an event: {error}") from error
    if envelope.occurred_at.tzinfo is None:
        raise Undecodable("occurred_at has no time zone")
    event = Event(envelope.event_id, kind, newest, envelope.chat_id, envelope.actor_id, envelope.occurred_at, data)
    return Decoded(event, raw, _id_us(data.message_id) if type(data) is MessageSent else 0)


def _id_us(message_id: str) -> int:
    return id_ms(message_id) * 1000 if is_uuid7(message_id) else -1
