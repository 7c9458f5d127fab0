"""Asking who is online over HTTP."""

from __future__ import annotations

from tests.support.caller import Newcomers, new_id, succeeded


def test_everybody_asked_for_gets_an_answer_in_order(newcomers: Newcomers) -> None:
    ana, ben, stranger = newcomers.some("ana", "ben", "stranger")
    ana.direct(ben)
    asked = [stranger.user_id, ben.user_id, new_id(), "nobody", ana.user_id]
    items = succeeded(ana.post("/presence/query", {"user_ids": asked}))["items"]
    assert [item["user_id"] for item in items] == asked
    assert all((item["status"], item["last_seen"]) == ("offline", None) for item in items)
    assert succeeded(ana.post("/presence/query", {"user_ids": []}))["items"] == []
    assert len(succeeded(ana.post("/presence/query", {"user_ids": [new_id() for _ in range(1000)]}))["items"]) == 1000
