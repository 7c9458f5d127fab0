"""From a command to a position in the log.

Accepting depends on the log and a cached sealing key alone. Refusals are advice, except that "no such chat"
and "not a member" are believed only once the fold has passed the log's end as it was on arrival.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import msgspec

from commands.attachments import seal_file
from commands.chat import Chat
from commands.decide import ChatCommand, Deliver, Read, Send, decide, wanted
from commands.errors import (
    BadReply,
    FieldError,
    IdFromFuture,
    Invalid,
    NoSuchFile,
    NotYet,
    TidingsError,
    TooLarge,
    Unavailable,
    error_for,
)
from commands.files import FileInfo
from commands.ports import Appended, Attachments, ChatSource, EventLog, Outcomes, Progress
from commands.recent import RecentIds
from commands.rules import FUTURE_MS, refusal
from commands.sealing import Sealer
from events.codec import make
from events.ids import id_ms, is_chat_id, is_uuid7, unix_ms, uuid7
from events.log import Position
from events.partitioner import partition_of
from events.types import EventData, MessageKind, MessageSent

MAX_TEXT_BYTES = 102_400
WAIT_S = 2.0
"""How long a refusal waits to be believed, and an HTTP command for its fold."""
AT_ONCE = 200
"""Events of one command that are handed to the log together: some milliseconds of work."""
PROMPT_S = 2 * WAIT_S
"""Beyond this, who can go on without the views does: two reads, and a wait between them."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as its author wrote it."""

    chat_id: str
    message_id: str
    kind: MessageKind
    text: str
    file_id: str | None = None
    reply_to_message: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a command: where the chat's log stands with it, and whether it said anything new."""

    position: Position
    changed: bool
    folded: bool = True
    """False: the views do not show it yet, so the fold may still refuse it."""


class Commands:
    """The handlers. One instance serves a whole process; all methods run on its event loop."""

    def __init__(
        self,
        log: EventLog,
        chats: ChatSource,
        progress: Progress,
        outcomes: Outcomes,
        sealer: Sealer,
        now: Callable[[], datetime],
        files: Attachments | None = None,
    ) -> None:
        self._log = log
        self._chats = chats
        self._progress = progress
        self._outcomes = outcomes
        self._sealer = sealer
        self._now = now
        self._files = files
        self._recent = RecentIds()

    def check(self, draft: Draft) -> datetime:
        """Refuse what no chat could take; gives the time of the event. Raises Invalid, TooLarge, IdFromFuture."""
        if not is_uuid7(draft.message_id):
            raise Invalid("message_id must be a UUIDv7 in lower case")
        if draft.kind != "TEXT" or draft.file_id is not None:
            _check_kind(draft)
        text = draft.text
        if not text and draft.kind == "TEXT":
            raise Invalid("text must not be empty")
        if "\0" in text:
            raise Invalid("text must not contain NUL")
        if len(text) * 4 > MAX_TEXT_BYTES and len(_utf8(text)) > MAX_TEXT_BYTES:
            raise TooLarge(f"text is over {MAX_TEXT_BYTES} bytes of UTF-8")
        now = self._now()
        if id_ms(draft.message_id) > unix_ms(now) + FUTURE_MS:
            raise IdFromFuture("message_id is more than two minutes ahead of the server's clock")
        return now

    def send_now(self, actor_id: str, draft: Draft, done: Appended) -> bool:
        """Append at once if everything needed is at hand; else False, and `send` must be awaited.

        Raises what `check` raises. `done` is called once the log has the message, never before.
        """
        now = self.check(draft)
        if draft.reply_to_message is not None or draft.file_id is not None:
            return False
        if not self._chats.seats(draft.chat_id, actor_id):
            chat = self._chats.cached(draft.chat_id)
            if chat is None or actor_id not in chat.members:
                return False
        if not self._sealer.ready(actor_id):
            return False
        sealed = self._sealer.seal(draft.chat_id, draft.message_id, actor_id, draft.text)
        data = MessageSent(draft.message_id, draft.kind, sealed)
        self._recent.note(draft.chat_id, draft.message_id)
        self._log.append(make(uuid7(now), draft.chat_id, actor_id, now, data), done)
        return True

    async def send(self, actor_id: str, draft: Draft) -> asyncio.Future[Position]:
        """Append a message; the result settles when the log has it. The order of awaited calls is kept.

        Raises what `check` raises, Unavailable, and the refusals of the chat.
        """
        now = self.check(draft)
        await self._sealer.warm([actor_id])
        sealed = self._sealer.seal(draft.chat_id, draft.message_id, actor_id, draft.text)
        command = Send(actor_id, draft.message_id, draft.kind, sealed, draft.file_id, draft.reply_to_message)
        happening = await self._sendable(command, draft.chat_id)
        # After membership: whoever is not in the chat learns nothing about its messages.
        if draft.reply_to_message is not None:
            await self._check_reply(actor_id, draft.chat_id, draft.reply_to_message)
        if draft.file_id is not None:
            info = await self._attached(actor_id, draft.kind, draft.file_id)
            described = seal_file(self._sealer, draft.chat_id, draft.message_id, actor_id, info)
            happening = [
                msgspec.structs.replace(each, file=described) if isinstance(each, MessageSent) else each
                for each in happening
            ]
        self._recent.note(draft.chat_id, draft.message_id)
        return self._append(draft.chat_id, actor_id, now, happening)

    async def submit(self, command: ChatCommand, chat_id: str) -> Position:
        """Decide a command, append its events and return the position of the last one, once it is durable.

        A command that changes nothing gives the position of the chat's last folded record. Raises the
        refusal, or Unavailable when the outcome is unknown.
        """
        return (await self._submitted(command, chat_id)).position

    async def carry_out(self, command: ChatCommand, chat_id: str, timeout_s: float = WAIT_S) -> Accepted:
        """As `submit`, and wait until the views show what became of it. Also raises what the fold refused."""
        accepted = await self._submitted(command, chat_id)
        if not accepted.changed:
            return accepted
        if not await self.folded(chat_id, accepted.position, timeout_s):
            return replace(accepted, folded=False)
        code = await self.refusal_at(chat_id, accepted.position)
        if code is not None:
            raise error_for(code)
        return accepted

    async def _submitted(self, command: ChatCommand, chat_id: str) -> Accepted:
        happening, chat = await self._decided(command, chat_id)
        if not happening:
            return Accepted(Position(self.partition_of(chat_id), max(chat.offset, 0)), changed=False)
        # One part after the other, so that thousands of events let everybody else have their turn between.
        for start in range(0, len(happening), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            part = happening[start : start + AT_ONCE]
            position = await self._append(chat_id, command.actor_id, self._now(), part)
        return Accepted(position, changed=True)

    async def folded(self, chat_id: str, position: Position, timeout_s: float = WAIT_S) -> bool:
        """Wait until the views have this record. False when time ran out."""
        return await self._progress.reach({position.partition: position.offset + 1}, timeout_s)

    async def logged(self, ends: dict[int, int]) -> bool:
        """Whether the log has all records below these offsets. Raises Unavailable."""
        log_ends = await self._log.end()
        return all(offset <= log_ends.get(partition, 0) for partition, offset in ends.items())

    async def refusal_at(self, chat_id: str, position: Position) -> str | None:
        """With which code the fold refused a folded record, or None."""
        return await self._outcomes.refusal_at(chat_id, position)

    def partition_of(self, chat_id: str) -> int:
        return partition_of(chat_id, self._log.partitions)

    async def _sendable(self, command: Send, chat_id: str) -> list[EventData]:
        """As `_decided`; but while the views are away, the fold alone judges."""
        if self._chats.seats(chat_id, command.actor_id):
            return wanted(command, Chat(chat_id))
        try:
            return (await promptly(self._decided(command, chat_id)))[0]
        except Unavailable:
            if not is_chat_id(chat_id):
                raise
            return wanted(command, Chat(chat_id))

    async def _decided(self, command: ChatCommand, chat_id: str) -> tuple[list[EventData], Chat]:
        chat = self._chats.cached(chat_id)
        if chat is None:
            chat = await self._chats.load(chat_id)
        try:
            happening = decide(command, chat)
            # Marks only move forward, so a stale view is right about one that moves nothing.
            if happening or isinstance(command, Deliver | Read):
                return happening, chat
        except TidingsError:
            if not is_chat_id(chat_id):
                raise  # no waiting can make a chat of it
        # The view may be behind, and "already so" is as wrong then as a refusal (who leaves and joins again at
        # once is still a member in it): ask again once it has what the log had when the command came.
        settled = await self._progress.reach(await self._log.end(), WAIT_S)
        chat = await self._chats.load(chat_id)
        if settled:
            return decide(command, chat), chat
        return [data for data in wanted(command, chat) if _may_be_news(chat, command.actor_id, data)], chat

    async def _check_reply(self, actor_id: str, chat_id: str, message_id: str) -> None:
        """Whether the sender may answer this message. Raises BadReply, NotYet when the view may be behind, and
        Unavailable.

        Advice of the handlers alone. The fold does not look: it has no message at hand, and if it refused what it
        took before, the numbers of old logs would change. Who sees both sides of such a race sees an answer to
        something that they cannot see, as after a join.
        """
        if not is_uuid7(message_id):
            raise BadReply("reply_to_message names no message of this chat")
        # What this process has handed to the log counts as sent, though no view shows it yet.
        sent = self._recent.has(chat_id, message_id)
        try:
            seq = await promptly(self._chats.message_seq(chat_id, message_id))
            if seq is None and not sent:
                settled = await self._progress.reach(await self._log.end(), WAIT_S)
                seq = await self._chats.message_seq(chat_id, message_id)
                if seq is None and not settled:
                    raise NotYet("the message that this one answers may not be in the views yet")
            # 0: it was refused.
            answerable = sent if seq is None else seq >= await self._visible_from(actor_id, chat_id)
        except Unavailable:
            if not sent:
                raise
            return
        if not answerable:
            raise BadReply("reply_to_message names no message of this chat that you can see")

    async def _visible_from(self, user_id: str, chat_id: str) -> int:
        """The first seq that the user may see; 1 where the view does not show the membership, which the fold judges."""
        chat = self._chats.cached(chat_id) or await self._chats.load(chat_id)
        member = chat.members.get(user_id)
        return 1 if member is None else member.visible_from

    async def _attached(self, user_id: str, kind: MessageKind, file_id: str) -> FileInfo:
        """A file that the sender may read. Raises NoSuchFile, Gone, Invalid, NotYet, Unavailable."""
        if self._files is None:
            raise NoSuchFile("no file has this id")
        try:
            found = await self._files.readable(user_id, file_id)
        except NoSuchFile:
            # It may have reached the sender by a message that the views do not show yet.
            settled = await self._progress.reach(await self._log.end(), WAIT_S)
            try:
                found = await self._files.readable(user_id, file_id)
            except NoSuchFile as error:
                if not settled:
                    raise NotYet("the message that shows this file may not be in the views yet") from error
                raise
        if kind == "IMAGE" and not found.info.is_picture:
            raise Invalid("IMAGE needs a picture", errors=(FieldError("file_id", "names no picture"),))
        return found.info

    def _append(
        self, chat_id: str, actor_id: str, now: datetime, happening: list[EventData]
    ) -> asyncio.Future[Position]:
        result: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        left = len(happening)

        def done(position: Position | None, error: TidingsError | None) -> None:
            nonlocal left
            left -= 1
            if result.done():
                return
            if error is not None:
                result.set_exception(error)
            elif left == 0 and position is not None:
                result.set_result(position)

        for data in happening:
            self._log.append(make(uuid7(now), chat_id, actor_id, now, data), done)
        return result


async def promptly(answer: Awaitable[T], patience_s: float = PROMPT_S) -> T:
    """What the views give. Raises Unavailable also where they stand still, long before their driver would."""
    try:
        return await asyncio.wait_for(answer, patience_s)
    except TimeoutError as error:
        raise Unavailable("the views do not answer") from error


def _check_kind(draft: Draft) -> None:
    if draft.kind == "TEXT":
        raise Invalid("TEXT takes no file_id", errors=(FieldError("file_id", "TEXT takes none"),))
    if draft.file_id is None:
        raise Invalid(f"{draft.kind} needs file_id", errors=(FieldError("file_id", f"{draft.kind} needs it"),))


def _may_be_news(chat: Chat, actor_id: str, data: EventData) -> bool:
    """Whether the fold may take what a stale view refuses: membership may have changed since.

    Raises the refusal where waiting longer could not help.
    """
    code = refusal(chat, actor_id, data)
    if code is not None and code not in ("no_such_chat", "beyond_head", "forbidden", "no_such_user"):
        raise error_for(code)
    return True


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("text contains a lone surrogate") from error
