"""How people name a place in the log, and the vector of offsets that it stands for.

`start`, `end`, a position `P:O` (or several, by commas), a time as RFC 3339 writes it, or one so long ago: `-1h`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from events.ids import unix_ms
from events.log import Position
from streams.log_reader import LogReader

FORMS = "start, end, a position such as 0:42, a time such as 2026-03-01T12:00:00Z, or -1h (s, m, h, d, w)"
_AGO = re.compile(r"-(\d{1,9}(?:\.\d{1,6})?)([smhdw])")
_POSITIONS = re.compile(r"\d+:\d+(,\d+:\d+)*")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class BadPlace(Exception):
    """No place in this log is named so. The message says what would be."""


def offsets_of(text: str, reader: LogReader, ends: dict[int, int], now: datetime) -> dict[int, int]:
    """Partition → offset of the first record at this place or after it; `ends` are the log's as of now.

    Positions stand for their own partitions alone. Raises BadPlace, Unavailable.
    """
    at_ms = instant_ms(text, now)
    if at_ms is not None:
        return _not_beyond(reader.offsets_at(at_ms), ends)
    if text == "start":
        return dict.fromkeys(ends, 0)
    return dict(ends) if text == "end" else _positions(text, ends)


def offsets_as_of(text: str, reader: LogReader, ends: dict[int, int], now: datetime) -> dict[int, int]:
    """Partition → offset after the last record that had been appended by then: everything below it had happened.

    What was appended at this very time counts, and so does the record at a position; other partitions go as far as
    the time of the latest record named. Raises BadPlace, Unavailable.
    """
    at_ms = instant_ms(text, now)
    if at_ms is not None:
        return _not_beyond(reader.offsets_at(at_ms + 1), ends)
    if text in ("start", "end"):
        return offsets_of(text, reader, ends, now)
    positions = _positions(text, ends)
    for partition, offset in positions.items():
        if offset >= ends[partition]:
            raise BadPlace(f"the log has no record at {partition}:{offset}: the partition ends at {ends[partition]}")
    named = {partition: offset + 1 for partition, offset in positions.items()}
    if len(named) == len(ends):
        return named
    latest = max(reader.records(*position, 1)[0].timestamp_ms for position in positions.items())
    return _not_beyond(reader.offsets_at(latest + 1), ends) | named


def instant_ms(text: str, now: datetime) -> int | None:
    """A time, or `-1h` before `now`, in milliseconds since 1970; UTC where no zone is given. None for the other ways
    to name a place. Raises BadPlace."""
    if text in ("start", "end") or _POSITIONS.fullmatch(text):
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return unix_ms(now - timedelta(**{_UNITS[ago[2]]: float(ago[1])}))
        moment = datetime.fromisoformat(text)
        return unix_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadPlace(f"{text!r} is no place in the log; name {FORMS}") from None


def _positions(text: str, ends: dict[int, int]) -> dict[int, int]:
    try:
        positions = [Position.parse(part) for part in text.split(",")]
    except ValueError as error:
        raise BadPlace(str(error)) from None
    for partition, _ in positions:
        if partition not in ends:
            raise BadPlace(f"the log has no partition {partition}; it has {len(ends)}, from 0")
    return dict(positions)


def _not_beyond(offsets: dict[int, int], ends: dict[int, int]) -> dict[int, int]:
    """What was appended since `ends` were asked for does not count."""
    return {partition: min(offset, ends[partition]) for partition, offset in offsets.items()}
