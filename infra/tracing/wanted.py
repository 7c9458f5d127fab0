"""Whether to trace, and how much."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from commands.errors import Invalid
from infra.settings import Settings

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
"""Scope, receive, send."""

SHARE = 0.01
"""Of commands, where an endpoint is set and no share."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class NoTracing(Invalid):
    """Tracing is wanted, but what it needs is not installed."""


def share(settings: Settings, environment: Mapping[str, str] = os.environ) -> float:
    """The share of commands to trace; 0: none. On by TIDINGS_TRACING, or by an endpoint of OpenTelemetry's own."""
    if settings.tracing is not None:
        return settings.tracing
    return SHARE if any(environment.get(name) for name in _ENDPOINTS) else 0.0
