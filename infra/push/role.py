"""The push role of a process: the stream, over the queues that the process has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from api.presence import Presence
from commands.devices import DeviceStore
from commands.errors import Unavailable
from commands.sealing import Sealer
from infra.push.erased import Forget
from infra.push.providers import open_providers
from infra.settings import Settings
from projections.ports import ChatViews
from streams.dead_letters import DeadLetters
from streams.push.plan import Names, Planner
from streams.push.ports import Online
from streams.push.queues import Holder, Queue
from streams.push.stream import Journal, PushStream

logger = logging.getLogger(__name__)

AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class PushQueues:
    """What an embedded server and a worker of a cluster have each in their own way."""

    retries: Queue
    holder: Holder
    letters: Mapping[str, DeadLetters]
    """Topic → where its dead go."""
    tag: str
    """Of the log that is folded."""
    journal: Journal | None = None
    forget: Forget | None = None
    """Where devices are noted down here: to overwrite those of users who were erased."""


@dataclass(frozen=True, slots=True)
class PushRole:
    stream: PushStream
    holder: Holder

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            try:
                await self.holder.hold(self.stream.works)
            except Unavailable as error:
                logger.warning("pushes wait: %s", error)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                # What was under way is taken again, by all partitions; the server has more to do than this.
                logger.exception("pushes begin again")
                await asyncio.sleep(AGAIN_S)


async def open_role(
    settings: Settings,
    queues: PushQueues,
    views: ChatViews,
    devices: DeviceStore,
    names: Names,
    sealer: Sealer,
    presence: Presence,
    now: Callable[[], datetime],
    stack: AsyncExitStack,
) -> PushRole:
    """Raises BadSettings, Invalid."""
    providers = await open_providers(settings, now, stack)
    planner = Planner(views, devices, names, sealer, online_in(presence), now)
    stream = PushStream(
        planner, providers, devices, queues.retries, queues.letters, queues.tag, now, journal=queues.journal
    )
    return PushRole(stream, queues.holder)


def online_in(presence: Presence) -> Online:
    """Who has a device in use, as gateways say: a user who is away from all of them is to be pushed to."""

    async def online(user_ids: Collection[str]) -> set[str]:
        seen = await presence.query(user_ids)
        return {user_id for user_id, each in seen.items() if each.status == "online"}

    return online
