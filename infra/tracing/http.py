"""Spans of HTTP requests, as children of what the caller's `traceparent` names."""

from __future__ import annotations

from typing import Any

from opentelemetry.propagate import extract
from opentelemetry.trace import use_span

from infra.tracing.spans import SpanKind, Spans, failed
from infra.tracing.wanted import AsgiApp

_SERVER_ERROR = 500


class TracedHttp:
    """Stands around an ASGI app."""

    def __init__(self, app: AsgiApp, spans: Spans) -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method: str = scope["method"]
        span = self._spans.tracer.start_span(
            method, extract(carrier), SpanKind.SERVER, {"http.request.method": method, "url.scheme": scope["scheme"]}
        )

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start" and span.is_recording():
                status = message["status"]
                span.set_attribute("http.response.status_code", status)
                if route := getattr(scope.get("route"), "path", ""):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                if status >= _SERVER_ERROR:
                    failed(span, str(status))
            await send(message)

        with use_span(span, end_on_exit=True, record_exception=False):
            await self._app(scope, receive, send_on)
