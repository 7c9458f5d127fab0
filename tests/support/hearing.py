"""A gateway's side of fan-out that notes what it hears, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from projections.ports import Entry, Membership, Moved, Refused

PATIENCE_S = 15.0


class Hearing:
    """Everything in the order heard: (what, …)."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._changed = asyncio.Event()

    def on_chat(self, chat_id: str, entries: Sequence[Entry], moved: Sequence[Moved]) -> None:
        self._note("chat", chat_id, list(entries), list(moved))

    def on_traces(self, chat_id: str, traces: Mapping[int, str]) -> None:
        self._note("traces", chat_id, dict(traces))

    def on_memberships(self, rows: Sequence[Membership]) -> None:
        self._note("memberships", list(rows))

    def on_refused(self, rows: Sequence[Refused]) -> None:
        self._note("refused", list(rows))

    def on_progress(self, partition: int, next_offset: int) -> None:
        self._note("progress", partition, next_offset)

    def on_digest(self, heads: Mapping[str, int]) -> None:
        self._note("digest", dict(heads))

    def on_typing(self, chat_id: str, user_id: str) -> None:
        self._note("typing", chat_id, user_id)

    def on_presence(self, user_id: str) -> None:
        self._note("presence", user_id)

    def on_resync(self) -> None:
        self._note("resync")

    def of(self, *kinds: str) -> list[tuple[object, ...]]:
        return [call for call in self.calls if call[0] in kinds]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once it holds. Fails with all that was heard."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not heard within {PATIENCE_S} s; heard: {self.calls[-20:]}") from None

    async def heard(self, *call: object) -> None:
        """Return once this was heard."""
        await self.until(lambda: call in self.calls)

    def forget(self) -> None:
        self.calls.clear()

    def _note(self, *call: object) -> None:
        self.calls.append(call)
        self._changed.set()
