"""Figures of a span of the log: events by type and hour, who was active, and how long delivery and reading took.

A latency is the time from the newest message that a mark covers, by somebody else, to the mark itself, both as the log
appended them. Marks are gathered for some 100 ms before they become events, and that is part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.codec import Undecodable, decode
from events.log import Record
from events.types import MessageDelivered, MessageRead
from projections.ports import Changes

HOUR_MS = 3_600_000
PERCENTILES = (50, 90, 95, 99)
_RECENT = 200_000
"""Messages whose time is remembered: marks on older ones are not counted."""


@dataclass(slots=True)
class Latencies:
    """Milliseconds to three digits, counted: memory does not grow with their number."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, ms: int) -> None:
        step = 10 ** max(0, len(str(ms)) - 3)
        self.counts[ms // step * step] += 1

    def percentile(self, percent: float) -> int | None:
        """The smallest that so many percent do not exceed; None where there are none."""
        rank = self.counts.total() * percent / 100
        seen = 0
        for ms in sorted(self.counts):
            seen += self.counts[ms]
            if seen >= rank:
                return ms
        return None

    def told(self) -> dict[str, int | None]:
        return {"count": self.counts.total(), **{f"p{each}_ms": self.percentile(each) for each in PERCENTILES}}


@dataclass(slots=True)
class Statistics:
    """Hears every batch of the fold from the log's beginning, and counts from `begin` on."""

    begin: Mapping[int, int]
    """Partition → first offset that counts."""
    types: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    """Start of the hour in ms since 1970 → events."""
    refused: int = 0
    chats: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    """Who did something."""
    delivery: Latencies = field(default_factory=Latencies)
    reading: Latencies = field(default_factory=Latencies)
    _times: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    _marks: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def hear(self, records: Sequence[Record], changes: Changes) -> None:
        """Records that were folded together, and what came of them."""
        refused = {row.offset for row in changes.refused}
        entries = {entry.offset: entry for entry in changes.entries}
        first = self.begin.get(changes.partition)
        for record in records:
            counts = first is not None and record.offset >= first
            if counts:
                self.hours[record.timestamp_ms // HOUR_MS * HOUR_MS] += 1
                self.refused += record.offset in refused
            try:
                event = decode(record.value).event
            except Undecodable:
                self.types["unreadable"] += counts
                continue
            if counts:
                self.types[event.type] += 1
                self.chats.add(record.key)
                self.users.add(event.actor_id)
            entry = entries.get(record.offset)
            if entry is not None and entry.type == "message.sent":
                if len(self._times) >= _RECENT:
                    del self._times[next(iter(self._times))]
                self._times[entry.chat_id, entry.seq] = record.timestamp_ms, entry.actor_id
            elif isinstance(event.data, MessageDelivered | MessageRead) and record.offset not in refused:
                kind = "delivered" if isinstance(event.data, MessageDelivered) else "read"
                self._mark(record, event.actor_id, kind, event.data.up_to_seq, counts)

    def _mark(self, record: Record, user_id: str, kind: str, seq: int, counts: bool) -> None:
        place = record.key, user_id, kind
        if seq <= self._marks.get(place, 0):
            return
        self._marks[place] = seq
        sent = self._times.get((record.key, seq))
        if not counts or sent is None or sent[1] == user_id:
            return
        latencies = self.delivery if kind == "delivered" else self.reading
        latencies.add(max(0, record.timestamp_ms - sent[0]))

    def told(self) -> dict[str, Any]:
        return {
            "events": sum(self.hours.values()),
            "refused": self.refused,
            "active_chats": len(self.chats),
            "active_users": len(self.users),
            "types": dict(sorted(self.types.items())),
            "delivery": self.delivery.told(),
            "read": self.reading.told(),
            "hours": {str(hour): count for hour, count in sorted(self.hours.items())},
        }
