"""People to measure with: registered over HTTP, two and two, each pair with a direct chat."""

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
class Pair:
    chat_id: str
    people: tuple[Person, Person]


async def register_pairs(http: httpx.AsyncClient, count: int, advanced: Callable[[], None]) -> list[Pair]:
    """Make `count` pairs; `advanced` is called after each. Raises httpx.HTTPStatusError."""

    async def pair() -> Pair:
        one, other = await _register(http), await _register(http)
        answer = await http.put(f"/v1/chats/direct/{other.user_id}", headers={"Authorization": f"Bearer {one.token}"})
        answer.raise_for_status()
        advanced()
        return Pair(answer.json()["chat"]["chat_id"], (one, other))

    return await bounded([pair() for _ in range(count)])


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
