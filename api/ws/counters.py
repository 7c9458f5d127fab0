"""What the gateway counts. Plain numbers, because some change with every frame; /metrics reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """All but `sessions` only ever grow."""

    sessions: int = 0
    """Connected right now."""
    connects: int = 0
    frames_in: int = 0
    frames_out: int = 0
    events: int = 0
    """Events taken in from fan-out or the views."""
    fills: int = 0
    """Times that a hole in a chat's numbers was filled from the views."""
    replays: int = 0
    """Chats in which a client that came back was sent what it had missed."""
    unreadable: int = 0
    """Messages shown as erased because no key opens them."""
    errors: int = 0
    """Frames answered by an `error`."""
    closes: Counter[int] = field(default_factory=Counter)
    """Close code → connections that this gateway closed with it."""
