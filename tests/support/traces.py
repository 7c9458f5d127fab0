"""What a trace must look like."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.otlp import Span


def chain(trace: Sequence[Span], last: Span) -> list[str]:
    """Names from the trace's root to a span."""
    by_id = {span.span_id: span for span in trace}
    names = [last.name]
    while last.parent_id in by_id:
        last = by_id[last.parent_id]
        names.insert(0, last.name)
    return names
