"""The benchmarks' loss check finds what it looks for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from benchmarks.kit.load import Load
from benchmarks.kit.people import Person, Room
from benchmarks.kit.readback import ReadBack, read_back

PAIR = Room("chat", (Person("ana", "a"), Person("ben", "b")))
Message = dict[str, Any]


class Unsent(Load):
    """Messages are numbered and answered as if a server had taken them."""

    def exchange(self, count: int) -> list[Message]:
        messages = []
        for number in range(count):
            self.acked_at.append(0.001)
            self.sent, self.acked = self.sent + 1, self.acked + 1
            message_id = self.message_id(number)
            messages.append({"seq": number + 2, "n": number + 1, "message_id": message_id, "text": self.text(number)})
        return messages


async def check(load: Load, messages: list[Message]) -> ReadBack:
    def answer(request: httpx.Request) -> httpx.Response:
        if "/messages" not in request.url.path:
            return httpx.Response(200, json={"chat": {"head_seq": messages[-1]["seq"]}})
        after, limit = int(request.url.params["after_seq"]), int(request.url.params["limit"])
        left = [message for message in messages if message["seq"] > after]
        return httpx.Response(200, json={"items": left[:limit], "has_more": len(left) > limit})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://nowhere") as http:
        return await read_back(http, load, lambda: None)


@pytest.fixture
def load() -> Unsent:
    return Unsent([PAIR], 20, {})


async def test_all_there_over_several_pages_is_right(load: Unsent) -> None:
    messages = load.exchange(450)
    assert await check(load, messages) == ReadBack(450, 450, [])


async def test_a_lost_message_is_found(load: Unsent) -> None:
    messages = load.exchange(3)
    assert (await check(load, messages[:2])).faults == ["1 acked messages are lost, such as [2]"]


async def test_a_message_shown_twice_is_found(load: Unsent) -> None:
    messages = load.exchange(3)
    again = {**messages[0], "seq": 5, "n": 4}
    assert (await check(load, [*messages, again])).faults == ["1 messages are there more than once, such as [0]"]


async def test_a_hole_in_the_numbers_is_found(load: Unsent) -> None:
    messages = load.exchange(3)
    messages[2]["seq"] = 5
    assert (await check(load, messages)).faults == ["chat: seq 5, n 3 after 3, 2"]


async def test_another_text_is_found(load: Unsent) -> None:
    messages = load.exchange(2)
    messages[1]["text"] = "y" * 20
    assert "chat: seq 3 holds what nobody sent" in (await check(load, messages)).faults


def test_what_a_socket_gets_out_of_order_is_found(load: Unsent) -> None:
    load.exchange(2)
    load.seqs = [1, 1]
    load.on_event(0, 2, "of another run, so 36 characters long")
    load.on_event(0, 4, "of another run, so 36 characters long")
    assert load.broken_order == ["socket 0 got seq 4 after 2"]
