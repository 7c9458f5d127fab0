"""Reading one's own writes: the Tidings-Min-Position header."""

from __future__ import annotations

import pytest

from tests.support.caller import Newcomers, new_id, succeeded
from tests.support.http import check_problem

HEADER = "Tidings-Min-Position"
READS = (
    "/chats",
    "/chats/{chat}",
    "/chats/{chat}/members",
    "/chats/{chat}/messages",
    "/chats/{chat}/messages/{message}",
    "/chats/{chat}/events",
    "/chats/{chat}/receipts",
)


def test_every_read_waits_for_positions_that_commands_gave(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    chat_id = ana.group()
    message_id = new_id()
    body = {"message_id": message_id, "kind": "TEXT", "text": "hello"}
    first = succeeded(ana.post(f"/chats/{chat_id}/messages", body), 201)["position"]
    second = succeeded(ana.call("PATCH", f"/chats/{chat_id}", {"title": "Coffee"}))["position"]
    for path in READS:
        for value in (first, f"{first},{second}", f"{second} , {first}", f"0:0, {first}, {first}"):
            filled = path.format(chat=chat_id, message=message_id)
            succeeded(ana.call("GET", filled, headers={HEADER: value}))


@pytest.mark.parametrize(
    "value",
    ["", "1", "0:", ":0", "0:-1", "-1:0", "a:b", "0:1:2", "0:1,", ",0:1", "0:1;0:2", "0 :1", "0:1 0:2", "9:0", "0:1e3",
     "0:" + "9" * 19, "9999999999:1", "0:1," * 1001 + "0:1"],
)  # fmt: skip
def test_a_malformed_position_is_refused(newcomers: Newcomers, value: str) -> None:
    ana = newcomers("ana")
    for path in ("/chats", f"/chats/{new_id()}"):
        answer = ana.call("GET", path, headers={HEADER: value})
        document = check_problem(answer, 422, "invalid")
        assert document["errors"][0]["field"] == HEADER


def test_several_lines_of_the_header_are_one_list(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    for second, status in (("0:0", 200), ("x", 422)):
        headers = [("Authorization", f"Bearer {ana.token}"), (HEADER, "0:0"), (HEADER, second)]
        assert newcomers.http.get("/v1/chats", headers=headers).status_code == status


def test_a_position_that_nothing_has_yet_is_not_yet_there(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    answer = ana.call("GET", "/chats", headers={HEADER: "0:0, 0:999999999"})
    document = check_problem(answer, 503, "not_yet")
    assert document["retry_after_ms"] == 1000
