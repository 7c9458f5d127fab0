"""Records go to Kafka's driver together where they come fast, and at once where they do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.kafka.sender import GATHER_S, Sender


class CountingProducer(Producer):
    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.produced = 0

    def produce(self, *arguments: Any, **options: Any) -> None:
        super().produce(*arguments, **options)
        self.produced += 1


@pytest.fixture
async def sender(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sender]:
    """Nobody answers there, which does not matter until the bound."""
    monkeypatch.setattr("infra.kafka.sender.Producer", CountingProducer)
    sender = Sender("127.0.0.1:1", bound_ms=100)
    yield sender
    await sender.close()


def send(sender: Sender, records: int) -> None:
    for _ in range(records):
        sender.send("t", b"k", b"v", lambda position, error: None, partition=0)


async def handed_over(sender: Sender) -> int:
    """How many the driver has by now."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert isinstance(sender._producer, CountingProducer)
    return sender._producer.produced


async def test_who_comes_alone_waits_for_nobody(sender: Sender) -> None:
    send(sender, 1)
    assert await handed_over(sender) == 1


async def test_after_many_the_next_gather_for_a_moment(sender: Sender) -> None:
    send(sender, 50)
    assert await handed_over(sender) == 50
    send(sender, 1)
    send(sender, 1)
    assert await handed_over(sender) == 50
    assert sender.waiting == 52
    await asyncio.sleep(GATHER_S * 1.5)
    assert await handed_over(sender) == 52


async def test_what_still_gathers_when_it_closes_has_its_answer_too(sender: Sender) -> None:
    answers: list[object] = []
    send(sender, 50)
    await handed_over(sender)
    sender.send("t", b"k", b"v", lambda position, error: answers.append(error), partition=0)
    await sender.close()
    assert len(answers) == 1
