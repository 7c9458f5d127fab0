"""People to measure with: registered over HTTP, in direct chats two and two, or in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import httpx

T = TypeVar("T")

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Person:
    user_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Room:
    """A chat and all who are in it; `seq` and `n` are those of its head before the load."""

    chat_id: str
    people: tuple[Person, ...]
    seq: int = 1
    n: int = 0


async def register_rooms(
    http: httpx.AsyncClient, count: int, advanced: Callable[[], None], *, size: int = 2
) -> list[Room]:
    """Make `count` chats of `size` people each, direct ones for two; `advanced` is called after each.

    Raises httpx.HTTPStatusError.
    """
    people = await bounded([_register(http) for _ in range(count * size)])

    async def room(members: tuple[Person, ...]) -> Room:
        headers = {"Authorization": f"Bearer {members[0].token}"}
        if size == 2:
            answer = await http.put(f"/v1/chats/direct/{members[1].user_id}", headers=headers)
            while answer.status_code == httpx.codes.ACCEPTED:
                # The first records of a cluster that has just begun take their time. Asked again, it is the same chat.
                answer = await http.put(f"/v1/chats/direct/{members[1].user_id}", headers=headers)
        else:
            others = [each.user_id for each in members[1:]]
            answer = await http.post("/v1/chats", headers=headers, json={"title": "Load", "member_ids": others})
        answer.raise_for_status()
        advanced()
        return Room(answer.json()["chat"]["chat_id"], members)

    return await bounded([room(tuple(people[at : at + size])) for at in range(0, len(people), size)])


async def _register(http: httpx.AsyncClient) -> Person:
    answer = await http.post(
        "/v1/auth/register", json={"username": f"b{uuid4().hex[:24]}", "password": "only for a benchmark"}
    )
    answer.raise_for_status()
    body = answer.json()
    return Person(body["user"]["user_id"], body["access_token"])


async def bounded(work: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of `work`, some at a time; results in its order."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(part: Coroutine[Any, Any, T]) -> T:
        async with turns:
            return await part

    return list(await asyncio.gather(*(one(part) for part in work)))
