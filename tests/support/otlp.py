"""A collector of traces: real OTLP over HTTP, protobuf, on a port of its own."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Span:
    name: str
    node: str
    """`service.instance.id` of the process that made it."""
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    is_error: bool


class Collector:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.endpoint = ""
        self._news = Condition()

    def take(self, body: bytes) -> None:
        with self._news:
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self._news.notify_all()

    def trace_of(self, *names: str, **attributes: Any) -> list[Span]:
        """All spans, by start, of the first trace with spans of all these names, one of them with these attributes.
        Waits for it."""

        def found() -> list[Span]:
            for trace_id in {span.trace_id for span in self.spans}:
                trace = [span for span in self.spans if span.trace_id == trace_id]
                if {span.name for span in trace} >= set(names) and any(
                    attributes.items() <= span.attributes.items() for span in trace
                ):
                    return sorted(trace, key=lambda span: span.start_ns)
            return []

        with self._news:
            assert self._news.wait_for(found, PATIENCE_S), f"no such trace among {[span.name for span in self.spans]}"
            return found()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            collector.take(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.endpoint = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        node = _values(resource.resource.attributes).get("service.instance.id", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    node,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _values(span.attributes),
                    span.status.code == 2,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
