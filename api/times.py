"""RFC 3339 times as clients write them, read strictly: numbers and dates without an offset are refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1)
_LATEST = datetime.max.replace(tzinfo=UTC)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def parse_us(text: str) -> int:
    """Microseconds since 1970, cut where the text is finer. A leap second is the second after it.

    Raises ValueError for what RFC 3339 does not allow.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time such as 2030-01-31T12:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    leap = second == 60
    moment = datetime(year, month, day, hour, minute, 59 if leap else second)
    us = (moment - _EPOCH) // timedelta(microseconds=1) + 1_000_000 * leap
    us += int((fraction or "0")[:6].ljust(6, "0"))
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("the offset from UTC is out of range")
        away_us = (int(offset_hour) * 60 + int(offset_minute)) * 60_000_000
        us += away_us if sign == "-" else -away_us
    return us


def at_us(us: int) -> datetime:
    """The aware time of microseconds since 1970; beyond the years 1 to 9999, the last one within."""
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    except OverflowError:
        return _LATEST if us > 0 else _EARLIEST
