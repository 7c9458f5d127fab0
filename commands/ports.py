"""What the command handlers need from outside. Each port has an embedded and a cluster adapter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from commands.chat import Chat
from commands.errors import TidingsError
from commands.files import StoredFile
from events.codec import Event
from events.log import Position, Record

Appended = Callable[[Position | None, TidingsError | None], None]
"""Called once, on the event loop: with the position when the log has the event durably, or with the error."""


class EventLog(Protocol):
    """The log of chat events: append-only, partitioned by chat, offsets from 0 and never reused."""

    partitions: int
    incarnation: str
    """Names this log for ever: a position in another incarnation means nothing here."""

    def append(self, event: Event, done: Appended) -> None:
        """Queue an event. Calls of one thread for one chat keep their order. Never raises for the log's state:
        `done` gets Unavailable when the outcome is unknown."""

    async def end(self) -> dict[int, int]:
        """Partition → the offset after the last durable record."""

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """Up to `limit` durable records from `offset` on; empty at the end. Raises Unavailable."""

    async def wait(self, partition: int, offset: int) -> None:
        """Return once a durable record stands at `offset` or later."""


class ChatSource(Protocol):
    """Where deciders find chats. The answer may be some milliseconds old."""

    def cached(self, chat_id: str) -> Chat | None:
        """The chat if this process follows it right now. Never waits."""

    def seats(self, chat_id: str, user_id: str) -> bool:
        """Whether this process follows the chat right now and knows that the user is in it. Never waits."""

    async def load(self, chat_id: str) -> Chat:
        """The chat from the views; an empty one, whose `exists` is false, where there is none."""

    async def message_seq(self, chat_id: str, message_id: str) -> int | None:
        """The seq of a message that the chat shows; 0 where it was refused, None where the views know nothing of it."""


class Progress(Protocol):
    """How far the fold has come."""

    async def reach(self, ends: dict[int, int], timeout_s: float) -> bool:
        """Wait until each partition's views have all records below its offset. False when time ran out."""


class Directory(Protocol):
    async def known_users(self, user_ids: Collection[str]) -> set[str]:
        """Those of `user_ids` that name a user who can be talked to."""


class Attachments(Protocol):
    """Files that messages may carry."""

    async def readable(self, user_id: str, file_id: str) -> StoredFile:
        """The file, for somebody who may read it. Raises NoSuchFile, Gone, Unavailable."""


class Outcomes(Protocol):
    """What became of a record once folded."""

    async def refusal_at(self, chat_id: str, position: Position) -> str | None:
        """The code with which the fold refused this record, or None where it took it."""
