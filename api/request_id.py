"""Names one HTTP request, so that what is logged about it can be found from what its client saw."""

from __future__ import annotations

import re
from contextvars import ContextVar
from uuid import uuid4

HEADER = b"x-request-id"

current: ContextVar[str] = ContextVar("request_id", default="")
"""The request that is being answered; empty outside of one."""

_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The one that a proxy or client gave, if it is fit, else a new one."""
    for name, value in headers:
        if name == HEADER and _GIVEN.fullmatch(value):
            return value.decode()
    return uuid4().hex
