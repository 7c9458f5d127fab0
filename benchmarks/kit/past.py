"""Chats with a long past: messages put straight into the cluster's log, for the workers to fold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx

from benchmarks.kit.history import FixedKeys
from benchmarks.kit.jobs import http_client
from benchmarks.kit.people import Room
from benchmarks.kit.workers import Report
from commands.errors import TidingsError
from commands.sealing import Sealer
from events.codec import make
from events.ids import uuid7
from events.log import Position
from events.types import MessageSent
from infra.kafka.log import KafkaLog

_AT_ONCE = 1_000
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class MakePast:
    """Give the n-th room `messages[n]` messages; returns the rooms with their heads once the views have them all.

    Their texts are sealed with keys that nobody has, so only what comes later can be read.
    """

    url: str
    bootstrap: str
    rooms: Sequence[Room]
    messages: Sequence[int]
    text_bytes: int

    async def run(self, report: Report) -> list[Room]:
        report.begin("writing the past", sum(self.messages))
        sealer = Sealer(FixedKeys())
        await sealer.warm(person.user_id for room in self.rooms for person in room.people)
        log = await KafkaLog.open(self.bootstrap, 1, bound_ms=60_000)
        try:
            for room, messages in zip(self.rooms, self.messages, strict=True):
                for first in range(0, messages, _AT_ONCE):
                    await self._write(log, sealer, room, min(_AT_ONCE, messages - first))
                    for _ in range(min(_AT_ONCE, messages - first)):
                        report.advance()
        finally:
            await log.close()
        report.begin("waiting until it is folded", sum(self.messages))
        async with http_client(self.url) as http:
            return [
                await _folded(http, room, messages, report)
                for room, messages in zip(self.rooms, self.messages, strict=True)
            ]

    async def _write(self, log: KafkaLog, sealer: Sealer, room: Room, count: int) -> None:
        """Raises Unavailable."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = count

        def done(_position: Position | None, error: TidingsError | None) -> None:
            nonlocal left
            left -= 1
            if durable.done():
                return
            if error is not None:
                durable.set_exception(error)
            elif left == 0:
                durable.set_result(None)

        at = datetime.now(UTC)
        text = "x" * self.text_bytes
        for number in range(count):
            at += timedelta(microseconds=1)
            actor_id = room.people[number % len(room.people)].user_id
            message_id = uuid7(at)
            body = sealer.seal(room.chat_id, message_id, actor_id, text)
            log.append(make(uuid7(at), room.chat_id, actor_id, at, MessageSent(message_id, "TEXT", body)), done)
        await durable


async def _folded(http: httpx.AsyncClient, room: Room, messages: int, report: Report) -> Room:
    headers = {"Authorization": f"Bearer {room.people[0].token}"}
    seq = room.seq
    while seq < room.seq + messages:
        answer = await http.get(f"/v1/chats/{room.chat_id}", headers=headers)
        answer.raise_for_status()
        head = answer.json()["chat"]["head_seq"]
        for _ in range(head - seq):
            report.advance()
        seq = head
        await asyncio.sleep(_POLL_S)
    return replace(room, seq=seq, n=room.n + messages)
