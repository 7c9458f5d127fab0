"""Spans of delivery: from what fan-out brings until it is with each session."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from opentelemetry import trace

from api.ws.hub import Hub
from api.ws.localchat import LocalChat
from infra.tracing.spans import SpanKind, Spans, parsed
from projections.ports import Entry, Moved

MAX_SESSIONS = 20
"""So many sessions have a span of their own; of the others there is a count."""


class TracedHub(Hub):
    """A Hub that tells of traced entries how long they took here, and to whom they went."""

    spans: Spans
    _traces: dict[str, Mapping[int, str]] | None = None

    def on_traces(self, chat_id: str, traces: Mapping[int, str]) -> None:
        if self._traces is None:
            self._traces = {}
        self._traces[chat_id] = traces

    def on_chat(self, chat_id: str, entries: Sequence[Entry], moved: Sequence[Moved]) -> None:
        traces = self._traces.pop(chat_id, None) if self._traces else None
        if not traces:
            super().on_chat(chat_id, entries, moved)
            return
        heard_ns = time.time_ns()
        super().on_chat(chat_id, entries, moved)
        local = self.chats.get(chat_id)
        if local is None:
            return
        if local.is_busy:
            self._start(self._tell_later(local, traces, heard_ns))
        else:
            self._tell(local, traces, heard_ns)

    async def _tell_later(self, local: LocalChat, traces: Mapping[int, str], heard_ns: int) -> None:
        await local.settled()
        self._tell(local, traces, heard_ns)

    def _tell(self, local: LocalChat, traces: Mapping[int, str], heard_ns: int) -> None:
        for seq, traceparent in traces.items():
            context = parsed(traceparent)
            if context is None or seq > local.cursor:
                continue
            sessions = [
                (user.user_id, session.session_id)
                for user, visible_from in local.here.items()
                if seq >= visible_from
                for session in user.sessions
            ]
            span = self.spans.tracer.start_span(
                "deliver",
                context,
                SpanKind.CONSUMER,
                {"tidings.chat_id": local.chat_id, "tidings.seq": seq, "tidings.sessions": len(sessions)},
                start_time=heard_ns,
            )
            inside = trace.set_span_in_context(span)
            now_ns = time.time_ns()
            for user_id, session_id in sessions[:MAX_SESSIONS]:
                told = {"tidings.user_id": user_id, "tidings.session_id": session_id}
                self.spans.tracer.start_span("tell session", inside, SpanKind.INTERNAL, told, None, heard_ns).end(
                    now_ns
                )
            span.end(now_ns)
