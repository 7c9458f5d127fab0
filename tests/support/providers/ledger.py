"""What a provider received, and how it is to answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Mood = Literal["fine", "bad", "gone", "busy", "broken", "slow", "refused"]


class Received(NamedTuple):
    token: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, int]:
        """Device and message."""
        about = self.body.get("data", self.body)
        return self.token, about["chat_id"], int(about["seq"])


@dataclass
class Ledger:
    """`accepted` are those that were answered with 200."""

    accepted: list[Received] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → how often."""
    counts: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """`Received.key` → how often it was accepted."""
    keep: bool = True
    """Whether `accepted` is kept; counts always are."""
    moods: dict[str, Mood] = field(default_factory=dict)
    """Token → mood, for those whose beginning does not tell."""
    retry_after: str | None = None
    expired: Callable[[], bool] = field(default=lambda: False)
    """Whether the provider finds every token of ours too old."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def mood(self, token: str) -> Mood:
        if token in self.moods:
            return self.moods[token]
        start = token.partition("-")[0]
        for mood in ("bad", "gone", "busy", "broken", "slow", "refused"):
            if start == mood:
                return mood
        return "fine"

    def accept(self, received: Received) -> None:
        self.counts[received.key] += 1
        if self.keep:
            self.accepted.append(received)
        self._news.set()

    def refuse(self, reason: str) -> None:
        self.refused[reason] += 1
        self._news.set()

    async def until(self, condition: Callable[[], bool], patience_s: float = 30.0) -> None:
        """Wait until something that was received makes the condition true."""
        async with asyncio.timeout(patience_s):
            while not condition():
                self._news.clear()
                await self._news.wait()
