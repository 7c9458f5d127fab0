"""Whose password is hashed next. The hashing itself is tried by the contracts of accounts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from threading import Event

import pytest

from api.asker import asker
from commands.errors import Unavailable
from infra.passwords import Argon2Passwords


@pytest.fixture
def gate() -> Event:
    return Event()


@pytest.fixture
def passwords(gate: Event) -> Iterator[Argon2Passwords]:
    made = Argon2Passwords(time_cost=1, memory_kib=8, at_once=1, waiting=6)
    yield made
    gate.set()
    made.close()


class Queue:
    def __init__(self, passwords: Argon2Passwords, gate: Event) -> None:
        self.passwords = passwords
        self.gate = gate
        self.served: list[str] = []
        self.refused: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, who: str) -> None:
        async def wait() -> None:
            asker.set(who)
            try:
                await self.passwords._run(self.gate.wait)
                self.served.append(who)
            except Unavailable:
                self.refused.append(who)

        self.tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)

    async def end(self) -> None:
        self.gate.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def queue(passwords: Argon2Passwords, gate: Event) -> AsyncIterator[Queue]:
    made = Queue(passwords, gate)
    yield made
    await made.end()


async def test_addresses_take_turns(queue: Queue) -> None:
    for who in ["attacker"] * 4 + ["ana", "ben"]:
        await queue.ask(who)
    await queue.end()
    assert queue.served == ["attacker", "attacker", "ana", "ben", "attacker", "attacker"]


async def test_where_too_many_wait_who_asks_most_is_sent_away(queue: Queue) -> None:
    for who in ["attacker"] * 20 + ["ana", "ben"]:
        await queue.ask(who)
    await queue.end()
    assert queue.served.count("attacker") == 1 + 6 - 2
    assert set(queue.refused) == {"attacker"}
    assert {"ana", "ben"} <= set(queue.served)


async def test_who_gives_up_leaves_the_place_to_the_next(queue: Queue) -> None:
    for who in ["first", "ana", "ben"]:
        await queue.ask(who)
    queue.tasks[1].cancel()
    await queue.end()
    assert queue.served == ["first", "ben"]
    queue.served.clear()
    await queue.ask("later")
    await queue.end()
    assert queue.served == ["later"]


async def test_nobody_waits_for_longer_than_about_a_second(queue: Queue) -> None:
    assert queue.passwords._room() == 6
    queue.passwords._seconds = 10.0
    assert queue.passwords._room() == 4
