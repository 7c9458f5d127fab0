"""The views as operators' tools look into them: everything that a chat has, beside whoever folds it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from commands.chat import Chat
from projections.ports import Changes, ChatViews, FileUse, FirstUse, MemberRow, Membership, Parked, Refused


@dataclass(frozen=True, slots=True)
class Whole:
    """A chat as it was at the record `chat.offset`."""

    chat: Chat
    rows: list[MemberRow]
    """All who ever were members, by user id."""
    refused: list[Refused]
    """By offset."""
    member_count: int
    """As the head has it."""


@dataclass(frozen=True, slots=True)
class Extra:
    """Rows of a chat that should not be there."""

    members: Collection[str] = ()
    """By user."""
    refused: Collection[int] = ()
    """By offset."""
    parked: Collection[int] = ()
    """By offset."""


class InspectedViews(ChatViews, Protocol):
    """Reads what is folded, while it is folded. All raise Unavailable when the store is away."""

    async def positions(self) -> dict[int, int]:
        """Partition → the offset up to which the views have everything. Raises LogMismatch."""

    def chat_ids(self) -> AsyncIterator[list[str]]:
        """All chats, some at a time, in the store's own order. Those that come meanwhile may be left out."""

    async def whole(self, chat_id: str) -> Whole | None:
        """Head and members as of one moment."""

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        """(chat, message id) → its first use, where the views have one."""

    async def uses_of(self, chat_id: str, message_ids: Collection[str]) -> dict[str, FirstUse]:
        """Message id → its first use, for many ids of one chat at once."""

    async def listed(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Membership]:
        """User → the row of this chat in that user's list of chats. `offset` is no earlier than what it tells."""

    async def files_of(self, chat_id: str, file_ids: Collection[str]) -> dict[str, FileUse]:
        """File → its use in this chat, where the views have one."""

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """(chat, seq) → the running `n` at that seq."""

    async def parked_chats(self) -> dict[str, int]:
        """Chat → offset of its first record that could not be folded."""

    async def parked_of(self, chat_id: str) -> list[Parked]:
        """The records of a chat that wait, by offset."""


class MendableViews(InspectedViews, Protocol):
    """A generation in which a chat that nobody folds can be written again."""

    revisions: Sequence[int]
    """To be tried one after the other: what one cannot overwrite, because it was mended before, a later one can."""

    revives: bool
    """Whether a chat that has lost its head can be written while others are folded."""

    async def mend(self, changes: Changes, extra: Extra, revision: int) -> None:
        """Write rows of one chat over what the same records may have left, and remove others. The position stays as
        it is. Repeating it changes nothing. Raises Unavailable."""
