"""What a record in the log is, and the names that every part agrees on."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

CHAT_TOPIC = "chat-events"
NOTIFICATIONS_TOPIC = "notifications"
RETRIES_TOPIC = "push-retries"
DEAD_LETTERS_TOPIC = "dead-letters"


class Position(NamedTuple):
    """A record's place in the log. On the wire: `"partition:offset"`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @staticmethod
    def parse(text: str) -> Position:
        """Raises ValueError for anything but `"partition:offset"` in plain digits."""
        partition, _, offset = text.partition(":")
        if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
            raise ValueError(f"not a position: {text[:40]!r}")
        if len(partition) > 9 or len(offset) > 18:
            raise ValueError(f"not a position: {text[:40]!r}")
        return Position(int(partition), int(offset))


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as read back: `timestamp_ms` is the log's append time, never the client's clock."""

    partition: int
    offset: int
    timestamp_ms: int
    key: str
    value: bytes
    trace: str = ""
    """The context of the append that is traced, as W3C's `traceparent`; empty where it is not."""
