"""The `Retry-After` of an answer (RFC 9110, section 10.2.3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds(value: str | None, now: Callable[[], datetime]) -> float | None:
    """Seconds from now; None where nothing is said, or nothing that makes sense."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now()).total_seconds())
