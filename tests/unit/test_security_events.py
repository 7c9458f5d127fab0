"""What is written and counted for those who guard a server."""

from __future__ import annotations

import logging

import pytest

from api.security import LINES_PER_S, SecurityEvents


def test_an_event_is_counted_and_has_its_own_fields(caplog: pytest.LogCaptureFixture) -> None:
    events = SecurityEvents()
    with caplog.at_level(logging.INFO, "tidings.security"):
        events.tell("signed_in", user_id="u1", address="192.0.2.1")
    assert events.counts["signed_in"] == 1
    (entry,) = caplog.records
    assert (entry.name, entry.__dict__["event"], entry.__dict__["user_id"], entry.__dict__["address"]) == (
        "tidings.security",
        "signed_in",
        "u1",
        "192.0.2.1",
    )


def test_a_flood_is_counted_whole_and_written_in_part(caplog: pytest.LogCaptureFixture) -> None:
    at = [5.0]
    events = SecurityEvents(lambda: at[0])
    with caplog.at_level(logging.INFO, "tidings.security"):
        for _ in range(1_000):
            events.tell("limited", limit="logins")
        assert len(caplog.records) == LINES_PER_S
        at[0] += 1
        events.tell("limited", limit="logins")
    assert events.counts["limited"] == 1_001
    assert f"{1_000 - LINES_PER_S} more" in caplog.text
