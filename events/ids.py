"""Identifiers: UUIDv7 (RFC 9562) for what somebody mints, UUIDv5 for what is derived.

An id is its canonical lower-case text, so that one id has one spelling in the log.
"""

from __future__ import annotations

import os
import re
import uuid
from datetime import UTC, datetime, timedelta

_V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_CHAT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DIRECT = uuid.UUID("6d1a4c1e-5c3f-5b7a-9d53-0f1f8a6b2c90")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NOISE = 10
"""Bytes of an id that are chance: 74 bits of them are used."""
_AT_ONCE = 400
_pool: list[bytes] = []
os.register_at_fork(after_in_child=_pool.clear)  # else parent and child would mint the same ids


def uuid7(now: datetime) -> str:
    """A fresh UUIDv7 whose time is `now` (aware), in milliseconds.

    The rest comes from the operating system's generator, many ids' worth at once, so that nobody can tell an id from
    others that they have seen. May be called from any thread.
    """
    ms = int(now.timestamp() * 1000)
    noise = _chance() & (1 << 74) - 1
    value = ms << 80 | 0x7 << 76 | (noise >> 62) << 64 | 0b10 << 62 | noise & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _chance() -> int:
    try:
        return int.from_bytes(_pool.pop())
    except IndexError:
        fresh = os.urandom(_NOISE * _AT_ONCE)
        _pool.extend(fresh[start : start + _NOISE] for start in range(_NOISE, len(fresh), _NOISE))
        return int.from_bytes(fresh[:_NOISE])


def is_uuid7(text: str) -> bool:
    """Whether `text` is a UUIDv7 in canonical spelling."""
    return _V7.fullmatch(text) is not None


def is_chat_id(text: str) -> bool:
    """Whether `text` can name a chat: a minted UUIDv7 or a derived UUIDv5, in canonical spelling."""
    return _CHAT.fullmatch(text) is not None


def id_ms(uuid7_text: str) -> int:
    """The time inside a UUIDv7, in milliseconds since 1970 (UTC). The text must be canonical."""
    return int(uuid7_text[:8] + uuid7_text[9:13], 16)


def unix_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware time, rounded down."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def unix_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(us: int) -> datetime:
    """The aware time so many microseconds after 1970: the inverse of `unix_us`."""
    return datetime.fromtimestamp(us // 1_000_000, UTC) + timedelta(microseconds=us % 1_000_000)


def direct_chat_id(one: str, other: str) -> str:
    """The id of the direct chat of two users: the same whoever asks, and nobody can mint it."""
    low, high = sorted((one, other))
    return str(uuid.uuid5(_DIRECT, f"{low}:{high}"))
