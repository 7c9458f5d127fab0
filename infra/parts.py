"""What an embedded server and a gateway of a cluster have each in their own way; all else they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.registry import Collector

from api.operations import Roster
from api.presence import Presence
from api.presence.acquaintance import Groups
from commands.announcements import Announcements
from commands.ports import EventLog
from infra.push.role import PushQueues
from infra.secrets import Secrets
from projections.ports import ChatViews
from streams.measures import FoldMeasures
from streams.ports import Fanout
from streams.progress import FoldProgress

Check = Callable[[], Awaitable[None]]
"""Returns if its part answers. Raises Unavailable."""

Work = Callable[[], Coroutine[Any, Any, None]]
"""Runs for as long as the process does."""


async def _nothing() -> None:
    """Where there is nothing to do."""


async def _heard(is_first: bool) -> None:
    """Where nobody pushes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Opened, and closed by the exit stack that they were opened on."""

    secrets: Secrets
    accounts_url: str
    log: EventLog
    collectors: Sequence[Collector]
    """What these parts tell at /metrics."""
    views: ChatViews
    progress: FoldProgress
    fanout: Fanout
    presence: Presence
    roster: Roster
    checks: Mapping[str, Check]
    """Name → whether it answers, of what is here; "log" among them."""
    folding: FoldMeasures | None = None
    """Where this process folds: who may hear of what it has folded into the served generation."""
    groups: Groups | None = None
    announcements: Announcements | None = None
    """None where this is the only process."""
    listen: Callable[[], Awaitable[None]] = _nothing
    """Once the gateway is attached: begin to hear what others tell."""
    unlisten: Callable[[], Awaitable[None]] = _nothing
    work: Mapping[str, Work] = field(default_factory=dict)
    push: PushQueues | None = None
    """Present where this process pushes."""
    device_named: Callable[[bool], Awaitable[None]] = _heard
    """To be told of a device that was named, and whether it is the first."""
    came_without_accounts: bool = False
    """The log was made elsewhere, and whoever serves it may make new accounts beside it."""
    catches_up: bool = False
    """This process folds, and serves nobody before the views have the whole log."""
