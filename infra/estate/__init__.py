"""An installation as operators' tools see it, embedded or a cluster: its log, its generations of views, their registry.

Tools run in processes of their own, beside those that serve.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from events.log import Position
from infra.settings import Settings
from projections.inspection import InspectedViews, MendableViews
from projections.ports import FoldStore
from streams.batch import Discards
from streams.log_reader import LogReader
from streams.registry import Registry


class ToolStore(MendableViews, FoldStore, Protocol):
    """A generation that a tool reads, or folds where nobody else does."""


class Busy(Exception):
    """Another tool is at work that cannot be beside this one."""


class Estate(Protocol):
    """All raise Unavailable while something is away."""

    log: LogReader
    registry: Registry

    async def views(self, generation: int) -> InspectedViews:
        """A generation, to look into. Raises NoViews where nobody has folded anything into it yet."""

    async def fold_into(self, generation: int) -> ToolStore:
        """A generation to be folded by this process, with its tables, made where there are none."""

    async def release(self, generation: int) -> None:
        """Close what `fold_into` gave, so that others may fold it."""

    async def discards(self) -> Discards:
        """Records that are passed over for ever."""

    async def discard(self, position: Position) -> None:
        """Note a record as discarded; `append` then has the chat released."""

    async def append(self, key: str, value: bytes) -> None:
        """Return once the log has this record, by whoever serves or by this process."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """While it is held no second rebuild begins. Raises Busy."""

    def at_rest(self) -> AbstractAsyncContextManager[bool]:
        """Whether nobody folds anything for as long as it is held. False where that cannot be seen to."""

    async def forget(self, chat_id: str) -> None:
        """Drop what caches have of a chat: its rows were mended."""

    async def is_served(self) -> bool:
        """Whether somebody runs who folds generations that are followed."""

    async def damage(self) -> str:
        """What is wrong with the files that log and served views lie in; empty where nothing is, or where they are not
        ours to look into."""

    async def close(self) -> None: ...


class NoViews(Exception):
    """There is nothing in this generation."""


Opener = Callable[[Settings], Awaitable[Estate]]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Estate]:
    """That of the settings: of a cluster where they name one. Raises NoLog, Unavailable."""
    if settings.kafka:
        from infra.estate.clustered import ClusterEstate

        estate: Estate = await ClusterEstate.open(settings)
    else:
        from infra.estate.embedded import EmbeddedEstate

        estate = EmbeddedEstate(settings.data)
    try:
        yield estate
    finally:
        await estate.close()
