"""The process's own log: text for people, JSON for machines, and no tokens in either."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from api.request_id import current, request_id
from infra.logs import Format, handler

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"
REFRESH = "tdr_0190163d-8694-739b-aea5-966c26f8ad91.3.mac"


def written(form: Format, message: str, *arguments: object, error: Exception | None = None, **extra: object) -> str:
    stream = io.StringIO()
    logger = logging.Logger("tidings.test")
    logger.addHandler(handler(stream, form, "gateway-1", lambda: "4bf92f3577b34da6a3ce929d0e0e4736"))
    logger.error(message, *arguments, exc_info=error, extra=extra)
    return stream.getvalue()


def test_a_json_entry_has_what_it_is_about_in_fields() -> None:
    line = written("json", "chat %s is parked", "c1", chat_id="c1", position="3:17", partition=3)
    assert line.count("\n") == 1
    entry: dict[str, Any] = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "error",
        "logger": "tidings.test",
        "message": "chat c1 is parked",
        "node": "gateway-1",
        "chat_id": "c1",
        "position": "3:17",
        "partition": 3,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }


def test_a_text_entry_names_them_at_its_end() -> None:
    line = written("text", "parked", chat_id="c1", position="3:17").rstrip()
    assert line.endswith(
        "ERROR   tidings.test: parked chat_id=c1 position=3:17 trace_id=4bf92f3577b34da6a3ce929d0e0e4736"
    )


def test_only_known_fields_are_written() -> None:
    for form in ("text", "json"):
        assert "secret text" not in written(form, "hm", body="secret text", text="secret text")


def test_an_exception_is_one_field_of_one_line() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        line = written("json", "failed", error=error)
    assert line.count("\n") == 1
    assert "ValueError: broken" in json.loads(line)["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("token", [JWT, REFRESH, f"Bearer {JWT}", "Bearer opaque-value-1234"])
def test_what_looks_like_a_token_is_blotted_out(form: Format, token: str) -> None:
    try:
        raise ValueError(f"bad: {token}")
    except ValueError as error:
        line = written(form, "refused %s", token, error=error)
    assert token.split()[-1] not in line
    assert "[token]" in line


def test_an_entry_names_the_request_that_it_was_made_in() -> None:
    mark = current.set("r-1")
    try:
        assert json.loads(written("json", "hm"))["request_id"] == "r-1"
    finally:
        current.reset(mark)
    assert "request_id" not in json.loads(written("json", "hm"))


def test_a_request_keeps_the_name_that_it_came_with_if_it_is_fit() -> None:
    assert request_id([(b"x-request-id", b"lb-7.a_b")]) == "lb-7.a_b"
    for unfit in (b"", b"two words", b"a" * 65, b'"', b"\xff"):
        made = request_id([(b"x-request-id", unfit)])
        assert len(made) == 32
        assert made != request_id([])


INJECTED = ["\n", "\r", "\x1b[31m", "\u2028", "\u2029", "\x85", "\x9b", "\x00", "\x0b", "\u202e", "\u2066", "\x7f"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("char", INJECTED)
def test_what_a_client_sends_makes_no_line_and_no_colour(form: Format, char: str) -> None:
    sent = f"/v1/x{char}2026-03-01 12:00:00 CRITICAL all is lost"
    try:
        raise ValueError(sent)
    except ValueError as error:
        printed = written(form, "GET %s failed", sent, error=error, chat_id=sent)
    plain = written(form, "GET %s failed", "/v1/x", chat_id="x")
    assert char == "\n" or char not in printed
    entries = [line for line in printed.splitlines() if not line.startswith("  ")]
    assert len(entries) == len(plain.splitlines())
    if form == "json":
        assert json.loads(printed)["message"] == f"GET {sent} failed"


def test_a_security_event_names_what_it_is_about() -> None:
    line = written("text", "limited", event="limited", address="192.0.2.1", limit="logins")
    assert line.rstrip().endswith(
        "event=limited address=192.0.2.1 limit=logins trace_id=4bf92f3577b34da6a3ce929d0e0e4736"
    )
