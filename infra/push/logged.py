"""Pushes that go nowhere, for devices whose provider is not set up: they are to be seen in `tidings push log`."""

from __future__ import annotations

from collections.abc import Sequence

from streams.push.ports import Outcome, Push


class Logged:
    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        return [Outcome("logged") for _ in pushes]

    async def close(self) -> None:
        """There is nothing to close."""
