"""What the routes of chats use, besides what every route has."""

from __future__ import annotations

from dataclasses import dataclass

from api.presence import PresenceQueries
from commands.handlers import Commands
from commands.ports import Progress
from commands.receipts import Receipts
from commands.sealing import Sealer
from projections.ports import ChatViews


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatServices:
    """`partitions`: of the log, so that a position in none of them is refused at once."""

    commands: Commands
    receipts: Receipts
    views: ChatViews
    progress: Progress
    partitions: int
    sealer: Sealer
    presence: PresenceQueries
