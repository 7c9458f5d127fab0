"""Fan-out: how what the fold decided reaches the gateways. A hint only: the views are the truth.

A gateway that missed something sees it by a hole in seq, by the digest or by `on_resync`, and reads the views.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from projections.ports import Changes, Entry, Membership, Moved, Refused


class FanoutReceiver(Protocol):
    """A gateway's side. Called on its event loop; calls must not block and must not raise."""

    def on_chat(self, chat_id: str, entries: Sequence[Entry], moved: Sequence[Moved]) -> None:
        """New entries of a subscribed chat, oldest first, and watermarks that receipts moved."""

    def on_traces(self, chat_id: str, traces: Mapping[int, str]) -> None:
        """Seq → `traceparent`, of entries that the next `on_chat` of this chat brings. Only where some are traced."""

    def on_memberships(self, rows: Sequence[Membership]) -> None:
        """Subscribed users joined or left chats. Comes before the `on_chat` that carries the events."""

    def on_refused(self, rows: Sequence[Refused]) -> None:
        """The fold refused acknowledged commands of subscribed users."""

    def on_progress(self, partition: int, next_offset: int) -> None:
        """The views have every record of this partition below `next_offset`."""

    def on_digest(self, heads: Mapping[str, int]) -> None:
        """Chat → seq: the views have this chat up to there, subscribed or not. So a lost last message shows."""

    def on_typing(self, chat_id: str, user_id: str) -> None: ...

    def on_presence(self, user_id: str) -> None:
        """The presence of a watched user may have changed: ask for it."""

    def on_resync(self) -> None:
        """Messages may have been lost: compare everything local with the views."""


class Fanout(Protocol):
    """The bus between workers and gateways."""

    def attach(self, receiver: FanoutReceiver) -> None:
        """Name the one receiver of this process, before any subscription."""

    async def subscribe(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None:
        """Return once everything published from now on reaches the receiver."""

    async def unsubscribe(self, *, chats: Collection[str] = (), users: Collection[str] = ()) -> None: ...

    async def watch(self, user_ids: Collection[str]) -> None:
        """Replace the set of users whose presence changes reach the receiver."""

    async def publish(self, changes: Changes) -> None:
        """Tell gateways of a batch that the views have. Raises nothing: a lost hint is caught up. From the first
        batch of a partition on, gateways expect to hear of it regularly."""

    def release(self, partition: int) -> None:
        """This process does not fold the partition any more: another one speaks for it."""

    def publish_typing(self, chat_id: str, user_id: str) -> None: ...

    def publish_presence(self, user_id: str) -> None: ...


def traces_of(changes: Changes, entries: Sequence[Entry]) -> dict[int, str]:
    """Seq → `traceparent`, of the entries that are traced; nearly always there are none."""
    if not changes.traces:
        return {}
    return {entry.seq: changes.traces[entry.offset] for entry in entries if entry.offset in changes.traces}
