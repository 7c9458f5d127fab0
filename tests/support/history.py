"""Histories for tests: people, a clock that only tests move, and records as the log would hold them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from events.codec import encode, make
from events.ids import direct_chat_id, uuid7
from events.log import Record
from events.types import Data

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANA, BEN, CLEO, DAN = (uuid7(NOON - timedelta(days=day)) for day in (4, 3, 2, 1))
ROOM = uuid7(NOON)
DIRECT = direct_chat_id(ANA, BEN)


@dataclass
class Clock:
    """A clock for constructors that take `now`."""

    at: datetime = NOON

    def __call__(self) -> datetime:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class History:
    """One partition's records, written event by event."""

    clock: Clock = field(default_factory=Clock)
    records: list[Record] = field(default_factory=list)

    def add(self, actor_id: str, data: Data, chat_id: str = ROOM, at: datetime | None = None) -> Record:
        at = at or self.clock()
        value = encode(make(uuid7(at), chat_id, actor_id, at, data))
        return self.add_raw(chat_id, value)

    def add_raw(self, key: str, value: bytes) -> Record:
        record = Record(0, len(self.records), int(self.clock().timestamp() * 1000), key, value)
        self.records.append(record)
        return record

    def all(self, actor_id: str, events: Iterable[Data], chat_id: str = ROOM) -> None:
        for data in events:
            self.add(actor_id, data, chat_id)
