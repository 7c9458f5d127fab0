"""What goes over the channels: MessagePack of arrays, told apart by their first element.

Fields are only ever added at the end, for gateways and workers of two versions speak with each other while they are
exchanged; a kind that a receiver does not know is ignored.
"""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec

from projections.ports import Entry, Membership, Moved, Refused


class Batch(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """To a chat's channel: what one batch did to the chat."""

    entries: list[Entry]
    moved: list[Moved]
    traces: dict[int, str] = {}
    """Seq → `traceparent`."""


class Typing(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """To a chat's channel."""

    user_id: str


class Personal(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """To a user's channel."""

    memberships: list[Membership]
    refused: list[Refused]


class Reached(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """To all gateways, after each batch."""

    partition: int
    next_offset: int


class Digest(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """To all gateways, each second, from each process that folds."""

    publisher: str
    """Names the process, and changes if it lost count of what it has published."""
    number: int
    """1, 2, 3 … for each publisher. One may come twice."""
    positions: dict[int, int]
    """Partition → next offset, for all partitions that the publisher folds, also if nothing happened."""
    heads: dict[str, int]
    """Chat → seq, for chats that changed since the last digest."""


class SessionOver(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """To all gateways: this sign-in is no longer valid."""

    session_id: str
    user_id: str
    at_us: int


class KeyGone(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """To all gateways: everything that this user wrote reads as erased."""

    user_id: str


ToChat = Batch | Typing
ToAll = Reached | Digest
ToNews = SessionOver | KeyGone
M = TypeVar("M")

encode = msgspec.msgpack.Encoder().encode
chat_messages: msgspec.msgpack.Decoder[ToChat] = msgspec.msgpack.Decoder(ToChat)
personal_messages: msgspec.msgpack.Decoder[Personal] = msgspec.msgpack.Decoder(Personal)
common_messages: msgspec.msgpack.Decoder[ToAll] = msgspec.msgpack.Decoder(ToAll)

news_messages: msgspec.msgpack.Decoder[ToNews] = msgspec.msgpack.Decoder(ToNews)

log = logging.getLogger(__name__)


def read(decoder: msgspec.msgpack.Decoder[M], payload: bytes) -> M | None:
    """None for a message that this version does not understand: it is as good as lost, and losses are made up for."""
    try:
        return decoder.decode(payload)
    except msgspec.DecodeError as error:
        log.warning("a message on the bus is not understood: %s", error)
        return None
