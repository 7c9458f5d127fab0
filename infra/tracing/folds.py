"""Spans of the fold: looked at from outside, once the views have a batch. The fold itself knows nothing of traces."""

from __future__ import annotations

from collections.abc import Sequence

from events.log import CHAT_TOPIC, Record
from infra.tracing.spans import SpanKind, Spans, as_text, failed, parsed, wall_ns
from projections.ports import Changes


class FoldSpans:
    """A FoldObserver."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def note(self, records: Sequence[Record], changes: Changes, started: float, folded: float, written: float) -> None:
        for record in records:
            if record.trace and record.offset < changes.next_offset:
                self._tell(record, changes, len(records), started, folded, written)

    def _tell(
        self, record: Record, changes: Changes, batch: int, started: float, folded: float, written: float
    ) -> None:
        context = parsed(record.trace)
        if context is None:
            return
        span = self._spans.tracer.start_span(
            "fold",
            context,
            SpanKind.CONSUMER,
            {
                "messaging.destination.name": CHAT_TOPIC,
                "messaging.operation.type": "process",
                "messaging.batch.message_count": batch,
                "tidings.chat_id": record.key,
                "tidings.position": f"{record.partition}:{record.offset}",
            },
            start_time=wall_ns(started),
        )
        span.add_event("decided", timestamp=wall_ns(folded))
        entry = next((entry for entry in changes.entries if entry.offset == record.offset), None)
        refused = next((row for row in changes.refused if row.offset == record.offset), None)
        if entry is not None:
            span.set_attribute("tidings.seq", entry.seq)
        elif refused is not None:
            failed(span, refused.code)
        elif any(row.offset == record.offset for row in changes.parked):
            failed(span, "parked")
        span.end(wall_ns(written))
        changes.traces[record.offset] = as_text(span.get_span_context())
