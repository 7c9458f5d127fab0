"""Comparing views: every adapter gives the same logical rows for the same log, in the same order.

Row by row (table, columns …): `positions` by partition, then `chats`, `members`, `timeline`, `message_ids`, `refused`
and `parked`, each by chat and then by user, seq, id or offset; and `files`, by file and chat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any


def hash_of(rows: Iterable[tuple[Any, ...]]) -> str:
    """SHA-256 over rows, in hex."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()
