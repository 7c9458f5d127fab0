"""When traces are made, and what a fold tells of them."""

from __future__ import annotations

import sys

import pytest

from api.ws.hub import Hub
from infra.settings import Settings
from infra.tracing.setup import Untraced, tracing
from infra.tracing.wanted import SHARE, NoTracing, share

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def test_tracing_is_off_unless_a_share_or_an_endpoint_is_set() -> None:
    assert share(Settings(), {}) == 0
    assert share(Settings(), ENDPOINT) == SHARE
    assert share(Settings(tracing=0.5), {}) == 0.5
    assert share(Settings(tracing=0), ENDPOINT) == 0


def test_without_tracing_the_parts_are_the_plain_ones() -> None:
    parts = tracing(Settings(tracing=0))
    assert type(parts) is Untraced
    assert parts.hub is Hub


def test_tracing_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "infra.tracing.spans"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(NoTracing, match=r"tidings\[tracing\]"):
        tracing(Settings(tracing=1))
