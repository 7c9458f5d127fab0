"""What a guard wants to know: sign-ins, refusals, limits and endings, counted and in a log of their own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Literal, get_args

from api.asker import asker

Event = Literal[
    "signed_in",
    "sign_in_failed",
    "registered",
    "limited",
    "admin_refused",
    "token_reused",
    "password_changed",
    "password_refused",
    "erased",
    "sign_in_ended",
]
LINES_PER_S = 20
"""More entries are counted, but not written: a flood of refusals must not become one of the log."""

log = logging.getLogger("tidings.security")
"""Entries have the fields `event`, and where they are known `user_id`, `session_id`, `address`, `limit`."""


class SecurityEvents:
    """`counts`: how often each has happened here."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(get_args(Event), 0))
        self._clock = clock
        self._second = 0
        self._written = 0

    def tell(
        self, event: Event, *, user_id: str = "", session_id: str = "", address: str = "", limit: str = ""
    ) -> None:
        """Count it and write it down. The address is that of the sign-in being looked at unless another is given."""
        self.counts[event] += 1
        second = int(self._clock())
        if second != self._second:
            if self._written > LINES_PER_S:
                log.warning("%d more security events in a second", self._written - LINES_PER_S)
            self._second, self._written = second, 0
        self._written += 1
        if self._written <= LINES_PER_S:
            level = logging.INFO if event in ("signed_in", "registered", "sign_in_ended") else logging.WARNING
            about = {
                "event": event,
                "user_id": user_id,
                "session_id": session_id,
                "address": address or asker.get(),
                "limit": limit,
            }
            log.log(level, event.replace("_", " "), extra=about)
