"""The worked example of a read model: who was active each day, and how long answers took.

All messages count, those that the chat refused as well: whoever needs the fold's verdict reads the product's views.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.codec import Event
from events.log import Record
from events.types import MessageSent
from projections.models.port import Rows

SLOW_S = 24 * 3600
"""An answer that took longer is worth telling."""


class Activity:
    name = "activity"
    version = 1

    def fold(self, rows: Rows, record: Record, event: Event) -> Iterable[str]:
        if not isinstance(event.data, MessageSent):
            return
        day = event.occurred_at.date().isoformat()
        rows.put(f"active {day} {event.actor_id}", 1)
        before = rows.get(f"last {event.chat_id}")
        rows.put(f"last {event.chat_id}", [event.actor_id, record.timestamp_ms])
        if before is None or before[0] == event.actor_id:
            return
        took_ms = max(0, record.timestamp_ms - before[1])
        count, total_ms = rows.get(f"replies {day}") or (0, 0)
        rows.put(f"replies {day}", [count + 1, total_ms + took_ms])
        if took_ms > SLOW_S * 1000:
            yield f"chat {event.chat_id} was answered after {took_ms // 3_600_000} hours"

    def summary(self, rows: Iterable[tuple[str, Any]]) -> Iterable[dict[str, Any]]:
        people: dict[str, set[str]] = {}
        replies: dict[str, tuple[int, int]] = {}
        for key, value in rows:
            match key.split():
                case ["active", day, user_id]:
                    people.setdefault(day, set()).add(user_id)
                case ["replies", day]:
                    count, total_ms = replies.get(day, (0, 0))
                    replies[day] = count + value[0], total_ms + value[1]
        for day in sorted(people):
            count, total_ms = replies.get(day, (0, 0))
            mean = round(total_ms / count / 1000, 3) if count else None
            yield {"day": day, "active_users": len(people[day]), "replies": count, "mean_reply_s": mean}
