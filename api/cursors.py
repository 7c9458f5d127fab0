"""Opaque cursors: where a list goes on, as text that only this module reads.

A cursor is a struct, as base64url of its JSON. It holds nothing secret and grants nothing: whoever forges
one reads their own list from another place. Only the exact text that `encode` gives is accepted.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from commands.errors import BadCursor

MAX_CHARACTERS = 600

Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Micros = Annotated[int, Meta(ge=-(2**62), le=2**62)]


class Cursor(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The base of all cursors. Each has a tag, so that one list's cursor is not taken by another."""


class InboxCursor(Cursor, frozen=True, tag="inbox"):
    at_us: Micros
    chat_id: Id


class MembersCursor(Cursor, frozen=True, tag="members"):
    user_id: Id


C = TypeVar("C", bound=Cursor)


def encode(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode()


def decode(text: str, kind: type[C]) -> C:
    """Read a cursor of this kind. Raises BadCursor for anything that `encode` did not give."""
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError("too long")
        cursor = msgspec.json.decode(
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), type=kind
        )
        if encode(cursor) != text:
            raise ValueError("not canonical")
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise BadCursor("cursor is not one that this list gave") from error
    return cursor
