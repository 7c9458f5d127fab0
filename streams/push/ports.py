"""What pushing needs from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from commands.devices import Device

Result = Literal["sent", "logged", "gone", "busy", "refused"]
"""`logged`: no provider is set up for such a device. `gone`: the token is dead. `busy`: not now. `refused`: never."""

Online = Callable[[Collection[str]], Awaitable[set[str]]]
"""Those of these users who have a device in use right now. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Push:
    """One notification for one device. A later one of the same chat takes its place on the screen."""

    device: Device
    chat_id: str
    seq: int
    message_id: str
    title: str | None
    body: str
    badge: int
    """All that the user has not read, over all chats."""
    expires_at: datetime
    """From then on it is nobody's news."""


@dataclass(frozen=True, slots=True)
class Outcome:
    result: Result
    detail: str = ""
    """What the provider said."""
    retry_after_s: float | None = None
    gone_since: datetime | None = None
    """Since when the token is dead, where the provider says so."""


class Provider(Protocol):
    """Who brings pushes to devices of a kind."""

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        """One outcome for each, in order. Raises nothing of its own: a provider that is away is `busy`."""

    async def close(self) -> None: ...
