"""What stands in the topics of notifications and retries. The key of every record is its chat."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

import msgspec


class _Note(msgspec.Struct, frozen=True, gc=False):
    kind: Literal["message"]
    seq: int
    offset: int
    log: str


class Note(msgspec.Struct, frozen=True, gc=False):
    """Something that people who are away should hear of, known by (chat, seq, kind)."""

    chat_id: str
    seq: int
    offset: int
    """Of the event in the log of events."""
    log: str
    """`tag_of` that log: positions of another one mean nothing."""
    kind: Literal["message"] = "message"

    @property
    def key(self) -> tuple[str, int, str]:
        return self.chat_id, self.seq, self.kind


class _Retry(msgspec.Struct, frozen=True, gc=False):
    kind: Literal["message"]
    seq: int
    log: str
    user_id: str | None
    device_id: str | None
    attempts: int
    since_ms: int
    due_ms: int
    reason: str


class Retry(msgspec.Struct, frozen=True, gc=False):
    """A push that a provider could not take yet; without a device, a note whose message no view has yet."""

    chat_id: str
    seq: int
    log: str
    user_id: str | None
    device_id: str | None
    attempts: int
    """How often it was tried."""
    since_ms: int
    """When it was tried first."""
    due_ms: int
    reason: str
    kind: Literal["message"] = "message"


_encoder = msgspec.json.Encoder()
_note = msgspec.json.Decoder(_Note)
_retry = msgspec.json.Decoder(_Retry)


def tag_of(incarnation: str) -> str:
    """A short name of a log: a record in millions need not carry the long one."""
    return sha256(incarnation.encode()).hexdigest()[:8]


def encode_note(note: Note) -> tuple[str, bytes]:
    return note.chat_id, _encoder.encode(_Note(note.kind, note.seq, note.offset, note.log))


def decode_note(chat_id: str, value: bytes) -> Note:
    """Raises ValueError for what no code of ours wrote."""
    read = _note.decode(value)
    return Note(chat_id, read.seq, read.offset, read.log, read.kind)


def encode_retry(retry: Retry) -> tuple[str, bytes]:
    fields = {name: getattr(retry, name) for name in _Retry.__struct_fields__}
    return retry.chat_id, _encoder.encode(_Retry(**fields))


def decode_retry(chat_id: str, value: bytes) -> Retry:
    """Raises ValueError for what no code of ours wrote."""
    return Retry(chat_id=chat_id, **msgspec.structs.asdict(_retry.decode(value)))
