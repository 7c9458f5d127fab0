"""`tidings events tail`: the log as NDJSON, one envelope a line, read beside the server.

Bodies are sealed in the log and stay so here: a line tells their size. A record that no code of ours wrote has a
line as well, with an `error`, whatever filters ask for, as long as it is of the chat.
"""

from __future__ import annotations

import os
import select
import sys
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from events.codec import Undecodable, decode
from events.log import Position, Record
from streams.log_reader import LogReader

POLL_MS = 100
READ_AT_ONCE = 500
WRITE_AT_ONCE = 64 * 1024
"""Characters gathered before they go to the pipe."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What to show; None shows all. `user` did it, or it was done to them."""

    chat: str | None = None
    type: str | None = None
    user: str | None = None

    def admits(self, envelope: dict[str, Any]) -> bool:
        """Whether a well-formed event of the right chat is wanted."""
        if self.type is not None and envelope["type"] != self.type:
            return False
        if self.user is None or envelope["actor_id"] == self.user:
            return True
        data = envelope["data"]
        return self.user == data.get("user_id") or self.user in data.get("member_ids", ())


def line(record: Record, wanted: Filter) -> str | None:
    """One record as a line of JSON without its end, or None where it is not wanted."""
    if wanted.chat is not None and record.key != wanted.chat:
        return None
    at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    shown: dict[str, Any] = {
        "position": str(Position(record.partition, record.offset)),
        "appended_at": at.replace("+00:00", "Z"),
    }
    try:
        decode(record.value)
    except Undecodable as error:
        # Nobody knows which part of it somebody wrote, so none is shown.
        shown |= {"key": record.key, "error": str(error), "value": f"({len(record.value)} bytes)"}
    else:
        envelope = msgspec.json.decode(record.value)
        if not wanted.admits(envelope):
            return None
        shown |= envelope
        if "body" in envelope["data"]:
            envelope["data"]["body"] = f"(sealed, {len(a2b_base64(envelope['data']['body']))} bytes)"
    return msgspec.json.encode(shown).decode()


def starts(text: str, ends: dict[int, int]) -> dict[int, int]:
    """Partition → offset to begin at, for `start`, `end` or a position, which stands for its partition alone.

    Raises ValueError.
    """
    if text == "start":
        return dict.fromkeys(ends, 0)
    if text == "end":
        return dict(ends)
    try:
        partition, offset = Position.parse(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither start, end nor a position such as 0:42") from None
    if partition not in ends:
        raise ValueError(f"the log has no partition {partition}; it has {len(ends)}, from 0")
    return {partition: offset}


def stored(reader: LogReader, offsets: dict[int, int], ends: dict[int, int]) -> Iterator[Record]:
    """Every record from `offsets` up to `ends`; moves `offsets` along."""
    for partition in offsets:
        end = ends[partition]
        while offsets[partition] < end:
            limit = min(READ_AT_ONCE, end - offsets[partition])
            records = reader.records(partition, offsets[partition], limit)
            if not records:
                return
            for record in records:
                offsets[partition] = record.offset + 1
                yield record


def tail(reader: LogReader, offsets: dict[int, int], wanted: Filter, out: TextIO, follow: bool, limit: int) -> None:
    """Write lines until the log ends, or for ever; `limit` 0: any number. Ends quietly when nobody reads `out`."""
    written = 0
    try:
        ends = reader.ends()
        while True:
            waiting: list[str] = []
            size = 0
            for record in stored(reader, offsets, ends):
                text = line(record, wanted)
                if text is None:
                    continue
                waiting.append(text + "\n")
                size += len(text)
                written += 1
                if written == limit:
                    break
                if size > WRITE_AT_ONCE:
                    out.writelines(waiting)
                    waiting, size = [], 0
            out.writelines(waiting)
            out.flush()
            if not follow or (limit and written >= limit) or is_hung_up(out, POLL_MS):
                return
            ends = reader.ends()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_hung_up(out: TextIO, wait_ms: int) -> bool:
    """Wait, and say whether meanwhile the reading end of `out` was closed: `tail | head -1` has to end."""
    poll = select.poll()
    poll.register(out, 0)
    return any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poll.poll(wait_ms))
