"""The tracer of this process, and contexts as text: what travels in record headers and over the bus."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"
_FLUSH_S = 5.0


class Spans:
    """Where spans are made, and sent from in the background. Settings of OpenTelemetry's own (`OTEL_…`) hold."""

    def __init__(self, share: float, node: str | None) -> None:
        """`share`: of commands that nobody before us decided to trace or not, 0 to 1."""
        resource = Resource.create(
            {"service.name": "tidings", "service.version": version("tidings"), "service.instance.id": node or ""}
        )
        self._provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(share)))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer: Tracer = self._provider.get_tracer("tidings", version("tidings"))

    async def close(self) -> None:
        """Send what waits, for some seconds at most."""
        await asyncio.to_thread(self._provider.force_flush, int(_FLUSH_S * 1000))
        await asyncio.to_thread(self._provider.shutdown)


def as_text(context: SpanContext) -> str:
    """W3C's `traceparent`."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def parsed(traceparent: str) -> Context | None:
    """The context of a `traceparent`, if it is one and is sampled."""
    context = _PROPAGATOR.extract({_HEADER: traceparent}, Context())
    found = trace.get_current_span(context).get_span_context()
    return context if found.is_valid and found.trace_flags.sampled else None


def current_trace_id() -> str | None:
    """Of the span that this code runs in, if it is recorded: for the process's log."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else None


def failed(span: Span, code: str) -> None:
    """Mark a span as one that came to nothing, with an error's code and never its words."""
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code))


def wall_ns(at: float) -> int:
    """A moment of `perf_counter` as ns since 1970."""
    return time.time_ns() - int((time.perf_counter() - at) * 1e9)


__all__ = ["Span", "SpanKind", "Spans", "as_text", "current_trace_id", "failed", "parsed", "wall_ns"]
