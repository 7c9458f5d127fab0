"""What the gateway counts. Plain numbers, because some change with every frame; /metrics reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from streams.measures import Histogram


@dataclass(slots=True)
class Counters:
    """All but `sessions` only ever grow. Who reads them: infra/metrics."""

    sessions: int = 0
    """Connected right now."""
    connects: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0
    acks: Histogram = field(default_factory=Histogram)
    """Seconds from a send to its ack; the count is that of sends accepted."""
    sends_refused: Counter[str] = field(default_factory=Counter)
    """Code → sends answered by an error."""
    deliveries: Histogram = field(default_factory=Histogram)
    """Seconds from an event's time at its gateway until sessions here were told, once for each event."""
    events: int = 0
    """Events taken in from fan-out or the views."""
    fills: int = 0
    """Times that a hole in a chat's numbers was filled from the views."""
    replays: int = 0
    """Chats in which a client that came back was sent what it had missed."""
    unreadable: int = 0
    """Messages shown as erased because no key opens them."""
    errors: Counter[str] = field(default_factory=Counter)
    """Code → frames answered by an `error`."""
    closes: Counter[int] = field(default_factory=Counter)
    """Close code → connections that this gateway closed with it."""
