"""The loss check: after the load, everything is read back over HTTP and compared with what was acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from benchmarks.kit.load import Load
from benchmarks.kit.people import Room, bounded

_PAGE = 200
_NAMED = 5


class ReadBack(msgspec.Struct, frozen=True):
    """What the check found; `faults` is empty where nothing was lost, doubled or out of order."""

    acked: int
    read: int
    faults: list[str]


async def read_back(http: httpx.AsyncClient, load: Load, advanced: Callable[[], None]) -> ReadBack:
    """Every acked message once with its text, none twice, `seq` and `n` dense in every chat.

    Raises httpx.HTTPStatusError.
    """
    times: Counter[int] = Counter()
    faults: list[str] = []

    async def chat(room: Room) -> None:
        headers = {"Authorization": f"Bearer {room.people[0].token}"}
        seq, n, has_more = room.seq, room.n, True
        while has_more:
            page = await _get(http, f"/v1/chats/{room.chat_id}/messages?after_seq={seq}&limit={_PAGE}", headers)
            for message in page["items"]:
                if (message["seq"], message["n"]) != (seq + 1, n + 1):
                    faults.append(f"{room.chat_id}: seq {message['seq']}, n {message['n']} after {seq}, {n}")
                seq, n = message["seq"], message["n"]
                number = load.number_of(message["message_id"])
                if number is None or number >= load.sent or message["text"] != load.text(number):
                    faults.append(f"{room.chat_id}: seq {seq} holds what nobody sent")
                else:
                    times[number] += 1
            has_more = page["has_more"]
        head = (await _get(http, f"/v1/chats/{room.chat_id}", headers))["chat"]["head_seq"]
        if head != seq:
            faults.append(f"{room.chat_id}: the head is {head}, the last message {seq}")
        advanced()

    await bounded([chat(room) for room in load.rooms])
    lost = [number for number in range(load.sent) if load.acked_at[number] >= 0 and not times[number]]
    twice = [number for number, count in times.items() if count > 1]
    if lost:
        faults.append(f"{len(lost)} acked messages are lost, such as {lost[:_NAMED]}")
    if twice:
        faults.append(f"{len(twice)} messages are there more than once, such as {twice[:_NAMED]}")
    return ReadBack(load.acked, times.total(), faults)


async def _get(http: httpx.AsyncClient, path: str, headers: dict[str, str]) -> dict[str, Any]:
    answer = await http.get(path, headers=headers)
    answer.raise_for_status()
    body: dict[str, Any] = msgspec.json.decode(answer.content)
    return body
