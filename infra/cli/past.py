"""`tidings at …`: a chat, or a user's list of chats, as it was at a time or a position."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET

from api import bodies
from api.past import Past, PastAnswer, PastInboxAnswer, with_bodies
from api.shapes import MessageShape
from events.log import Position
from events.partitioner import partition_of
from infra.cli.lines import Open
from infra.memory.views import MemoryViews
from projections.ports import Entry
from projections.timeline import END
from streams.batch import Discards
from streams.log_reader import LogReader
from streams.places import offsets_as_of
from streams.time_travel import fold_chat, fold_chats_of


async def chat_at(
    reader: LogReader,
    discards: Discards,
    place: str,
    now: datetime,
    chat_id: str,
    viewer: str | None,
    limit: int,
    opened: Open | None,
) -> PastAnswer:
    """`limit` 0: all messages. Raises BadPlace, NoSuchChat, Unavailable."""
    ends = offsets_as_of(place, reader, reader.ends(), now)
    views = MemoryViews()
    await fold_chat(reader, discards, views, chat_id, ends)
    past = Past(views, viewer)
    chat = await past.chat(chat_id)
    entries, has_more = await past.messages(chat, END, limit or None)
    as_of = str(Position(partition_of(chat_id, reader.partitions), chat.offset))
    return past.answer(chat, as_of, entries, await _bodies(entries, opened), has_more)


async def inbox_at(
    reader: LogReader,
    discards: Discards,
    place: str,
    now: datetime,
    user_id: str,
    limit: int,
    opened: Open | None,
) -> PastInboxAnswer:
    """`limit` 0: all chats. Raises BadPlace, Unavailable."""
    ends = offsets_as_of(place, reader, reader.ends(), now)
    views = MemoryViews()
    await fold_chats_of(reader, discards, views, user_id, ends)
    items, last = await Past(views, user_id).inbox(limit or 1_000_000)
    return PastInboxAnswer(with_bodies(items, await _bodies(last, opened)))


async def _bodies(entries: Sequence[Entry], opened: Open | None) -> list[bodies.Opened]:
    if opened is None:
        return bodies.masked(entries)
    # Keys are asked for on a loop of their own, which cannot run inside this one.
    return bodies.opened(entries, await asyncio.to_thread(opened, bodies.sealed(entries)))


def as_json(answer: PastAnswer | PastInboxAnswer) -> str:
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def chat_table(answer: PastAnswer) -> str:
    """For the eye: the chat, its members with their marks, its messages."""
    chat = answer.chat
    lines = [
        f"{chat.kind} {chat.chat_id}  {_plain(chat.title or '')}",
        f"created {chat.created_at} by {chat.created_by}; {chat.member_count} members; head at seq {answer.head_seq}",
        "",
        f"{'MEMBER':<36} {'DELIVERED':>9} {'READ':>9} {'UNREAD':>7}",
    ]
    lines += [
        f"{mark.user_id:<36} {mark.delivered_seq:>9} {mark.read_seq:>9} {answer.unread.get(mark.user_id, ''):>7}"
        for mark in answer.receipts
    ]
    lines += ["", f"{'SEQ':>7} {'SENT':<24} {'SENDER':<36} TEXT"]
    if answer.has_more:
        lines.append(f"{'…':>7}")
    for message in answer.messages:
        lines.append(f"{message.seq:>7} {message.sent_at:<24} {message.sender_id:<36} {_said(message)}")
    return "\n".join(lines)


def _said(message: MessageShape) -> str:
    text = "(erased)" if message.text is None else _plain(message.text)
    if message.kind == "TEXT":
        return text
    file = "" if message.file is UNSET else f" {_plain(message.file.name)}, {message.file.size:,} bytes"
    return f"[{message.kind}{file}] {text}".rstrip()


def inbox_table(answer: PastInboxAnswer) -> str:
    lines = [f"{'CHAT':<36} {'UNREAD':>6} {'HEAD':>7} {'ACTIVITY':<24} TITLE"]
    lines += [
        f"{item.chat.chat_id:<36} {item.unread:>6} {item.head_seq:>7} {item.activity_at:<24} "
        f"{_plain(item.chat.title or '(direct)')}"
        for item in answer.items
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "·" for letter in text)
