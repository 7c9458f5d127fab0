"""The frames of the socket contract: what clients send, and what they get.

Client frames are one tagged union, so decoding checks type, fields and values in one pass. The AsyncAPI
document is generated from these structs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.shapes import ChatShape, EventShape
from api.ws.wire import text_frame
from commands.errors import FieldError, Invalid, TidingsError, UnknownField
from commands.lines import UNFIT
from events.types import MessageKind

MAX_SEQ = 2**53 - 1
"""Every number fits a JavaScript number."""

MAX_CORRELATION_ID = 200
CorrelationId = Annotated[str, Meta(max_length=MAX_CORRELATION_ID)]
"""The client's own name for a frame; it comes back as `reply_to`."""
Told = Annotated[str, Meta(max_length=200, pattern=rf"^(?![\s\S]*[{UNFIT}])")]
"""What a client says of itself, on one line."""
Seq = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
SessionStatus = Literal["online", "away"]


class ClientFrame(msgspec.Struct, frozen=True, gc=False, tag_field="type", forbid_unknown_fields=True):
    """The base of what clients send."""


class ClientInfo(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: Told | None = None
    version: Told | None = None
    platform: Told | None = None
    device_id: Told | None = None


class Connect(ClientFrame, frozen=True, tag="connect"):
    id: CorrelationId
    token: str
    resume: dict[str, Seq] | None = None
    """Chat id → the last seq that the client has."""
    client: ClientInfo | None = None
    ext: dict[str, Any] | None = None
    """Ignored."""


class Auth(ClientFrame, frozen=True, tag="auth"):
    id: CorrelationId
    token: str


class Send(ClientFrame, frozen=True, tag="send"):
    id: CorrelationId
    chat_id: str
    message_id: str
    kind: MessageKind
    text: str | None = None
    file_id: str | None = None
    reply_to_message: str | None = None


class Delivered(ClientFrame, frozen=True, tag="delivered"):
    chat_id: str
    up_to_seq: Seq
    id: CorrelationId | None = None


class Read(ClientFrame, frozen=True, tag="read"):
    chat_id: str
    up_to_seq: Seq
    id: CorrelationId | None = None


class Join(ClientFrame, frozen=True, tag="join"):
    id: CorrelationId
    chat_id: str


class Leave(ClientFrame, frozen=True, tag="leave"):
    id: CorrelationId
    chat_id: str


class Typing(ClientFrame, frozen=True, tag="typing"):
    chat_id: str


class Watch(ClientFrame, frozen=True, tag="presence.watch"):
    id: CorrelationId
    user_ids: Annotated[list[str], Meta(max_length=1000)]


class Status(ClientFrame, frozen=True, tag="status"):
    status: SessionStatus


class Ping(ClientFrame, frozen=True, tag="ping"):
    id: CorrelationId


AnyClientFrame = Connect | Auth | Send | Delivered | Read | Join | Leave | Typing | Watch | Status | Ping


class ServerFrame(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """The base of what clients get."""


class ChatState(msgspec.Struct, frozen=True, gc=False):
    """Where a chat stands when a socket connects."""

    head_seq: int
    read_seq: int
    others_delivered_seq: int
    others_read_seq: int


class Connected(ServerFrame, frozen=True, tag="connected"):
    reply_to: str
    user_id: str
    session_id: str
    heartbeat_s: int
    server_time: str
    more: bool
    chats: dict[str, ChatState]
    incarnation: str | UnsetType = UNSET
    """Of the log. Where it differs from what a client was told before, seqs name other events than they did, and
    everything that the client keeps of chats must be fetched anew."""


class Ack(ServerFrame, frozen=True, tag="ack"):
    reply_to: str
    message_id: str | UnsetType = UNSET
    position: str | UnsetType = UNSET


class Pong(ServerFrame, frozen=True, tag="pong"):
    reply_to: str


class EventFrame(ServerFrame, frozen=True, tag="event"):
    chat_id: str
    seq: int
    n: int | None
    event: EventShape


class Limited(ServerFrame, frozen=True, tag="limited"):
    chat_id: str
    head_seq: int


class ChatFrame(ServerFrame, frozen=True, tag="chat"):
    chat: ChatShape


class Gone(ServerFrame, frozen=True, tag="gone"):
    chat_id: str


class Receipt(ServerFrame, frozen=True, tag="receipt"):
    chat_id: str
    user_id: str
    delivered_seq: int
    read_seq: int


class PresenceFrame(ServerFrame, frozen=True, tag="presence"):
    user_id: str
    status: Literal["online", "away", "offline"]
    last_seen: str | None


class TypingFrame(ServerFrame, frozen=True, tag="typing"):
    chat_id: str
    user_id: str


class Rejected(ServerFrame, frozen=True, tag="rejected"):
    chat_id: str
    position: str
    code: str
    message_id: str | UnsetType = UNSET


class Error(ServerFrame, frozen=True, tag="error"):
    code: str
    message: str
    reply_to: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    server_time: str | UnsetType = UNSET
    """With `id_from_future` alone."""


class Reconnect(ServerFrame, frozen=True, tag="reconnect"):
    after_ms: int
    reason: str


AnyServerFrame = (
    Connected
    | Ack
    | Pong
    | EventFrame
    | Limited
    | ChatFrame
    | Gone
    | Receipt
    | PresenceFrame
    | TypingFrame
    | Rejected
    | Error
    | Reconnect
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyClientFrame] = msgspec.json.Decoder(AnyClientFrame)


class Malformed(Exception):
    """Not one JSON object in UTF-8: the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that is JSON but not of the contract. `type` and `reply_to` are what could be read of it."""

    type: str | None
    reply_to: str | None
    error: TidingsError


def encode(frame: ServerFrame) -> bytes:
    """The bytes of a server's frame, WebSocket header included."""
    return text_frame(_encoder.encode(frame))


def decode(raw: bytes) -> AnyClientFrame | Refused:
    """Read a client's frame. Raises Malformed."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _explain(raw, error)


def _explain(raw: bytes, error: Exception) -> Refused:
    """Only broken JSON is malformed; anything else gets an answer. Slow, because it reads the frame again.

    The standard library's parser takes lone surrogates, which are JSON, so it tells them from broken JSON.
    """
    try:
        frame = json.loads(raw.decode(), parse_constant=_not_json, parse_int=float)
    except (ValueError, RecursionError) as broken:
        raise Malformed("this is not JSON") from broken
    if not isinstance(frame, dict):
        raise Malformed("a frame is one JSON object")
    kind, reply_to = frame.get("type"), frame.get("id")
    return Refused(
        kind if isinstance(kind, str) else None, reply_to if _can_be_sent_back(reply_to) else None, _refusal(error)
    )


def _can_be_sent_back(reply_to: object) -> bool:
    if not isinstance(reply_to, str) or len(reply_to) > MAX_CORRELATION_ID:
        return False
    try:
        reply_to.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(error: Exception) -> TidingsError:
    if not isinstance(error, msgspec.ValidationError):
        return Invalid("the frame holds a lone surrogate or a number out of range")
    sentence = str(error)
    if sentence.startswith("Object contains unknown field"):
        field = sentence.split("`")[1]
        return UnknownField(sentence, errors=(FieldError(field, "is not known"),))
    path = sentence.rpartition(" - at `$")[2].removesuffix("`").lstrip(".") if " - at `$" in sentence else ""
    return Invalid(sentence, errors=(FieldError(path, sentence),) if path else ())


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
