"""Who is to hear of a message, on which devices, and in which words: decided from what is true right now."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commands.attachments import read_file, sealed_file
from commands.chat import Chat, Member
from commands.devices import Addressee, DeviceStore
from commands.errors import Corrupt, Unavailable
from commands.sealing import Sealed, Sealer
from commands.users import User
from events.codec import data_decoder
from events.ids import from_us
from events.types import MessageSent
from projections.inbox import unread
from projections.ports import ChatViews, Entry
from streams.push.notifier import STALE
from streams.push.ports import Online, Push
from streams.push.words import without_content, words

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""Questions to the views at the same time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message of which somebody is to hear: everybody who should, or one device again."""

    chat_id: str
    seq: int
    user_id: str | None = None
    device_id: str | None = None


class Names(Protocol):
    async def users(self, user_ids: Collection[str]) -> Sequence[User]:
        """Those who exist, in no order; may be some seconds old. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class _Case:
    wanted: Wanted
    chat: Chat
    entry: Entry
    message: MessageSent
    members: list[Member]


@dataclass(frozen=True, slots=True)
class _Content:
    """None where there is none, or it was erased."""

    text: str | None
    file_name: str | None


_NOTHING = _Content(None, None)


class Planner:
    """All of it raises Unavailable when views or SQL are away; then nothing has happened."""

    def __init__(
        self,
        views: ChatViews,
        devices: DeviceStore,
        names: Names,
        sealer: Sealer,
        online: Online,
        now: Callable[[], datetime],
    ) -> None:
        self._views = views
        self._devices = devices
        self._names = names
        self._sealer = sealer
        self._online = online
        self._now = now

    async def plan(self, wanted: Sequence[Wanted]) -> tuple[list[tuple[Wanted, Push]], list[Wanted]]:
        """Pushes, in the order of what is wanted, and what the views do not have yet."""
        cases, late = await self._cases(wanted)
        addressees = await self._addressees(cases)
        if not addressees:
            return [], late
        muted, online, badges, names, contents = await asyncio.gather(
            self._muted(cases, addressees),
            self._online_among(addressees),
            self._badges(addressees),
            self._names_of(cases),
            self._contents(cases, addressees),
        )
        pushes: list[tuple[Wanted, Push]] = []
        for case in cases:
            for member in case.members:
                user_id = member.user_id
                if user_id in online or (case.chat.chat_id, user_id) in muted:
                    continue
                for each in addressees.get(user_id, ()):
                    if case.wanted.device_id in (None, each.device.device_id):
                        content = contents.get((case.chat.chat_id, case.entry.seq), _NOTHING)
                        push = _push(case, each, content, names.get(case.entry.actor_id), badges[user_id])
                        pushes.append((case.wanted, push))
        return pushes, late

    async def _cases(self, wanted: Sequence[Wanted]) -> tuple[list[_Case], list[Wanted]]:
        chats = await self._chats({each.chat_id for each in wanted})
        late: list[Wanted] = []
        there: list[Wanted] = []
        for each in wanted:
            # Rows are written before heads: what the head has, can be read.
            (there if chats[each.chat_id].seq >= each.seq else late).append(each)
        entries = {
            (entry.chat_id, entry.seq): entry
            for entry in await self._views.entries_at(list({(each.chat_id, each.seq) for each in there}))
        }
        since = self._now() - STALE
        cases = []
        for each in there:
            entry, chat = entries.get((each.chat_id, each.seq)), chats[each.chat_id]
            if entry is None or entry.type != "message.sent" or from_us(entry.at_us) <= since:
                continue
            members = [
                member
                for member in _members(chat, each.user_id)
                if member.user_id != entry.actor_id and member.read_seq < entry.seq and member.visible_from <= entry.seq
            ]
            message = data_decoder(entry.type).decode(entry.raw)
            assert isinstance(message, MessageSent)
            if members:
                cases.append(_Case(each, chat, entry, message, members))
        return cases, late

    async def _chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def load(chat_id: str) -> Chat:
            async with turns:
                return await self._views.chat(chat_id) or Chat(chat_id)

        loaded = await asyncio.gather(*map(load, chat_ids))
        return {chat.chat_id: chat for chat in loaded}

    async def _addressees(self, cases: Sequence[_Case]) -> Mapping[str, list[Addressee]]:
        """User → devices, of those who have any."""
        users = {member.user_id for case in cases for member in case.members}
        found: defaultdict[str, list[Addressee]] = defaultdict(list)
        if users:
            for each in await self._devices.addressees(users, self._now()):
                found[each.device.user_id].append(each)
        return found

    async def _muted(self, cases: Sequence[_Case], addressees: Collection[str]) -> set[tuple[str, str]]:
        pairs = {
            (case.chat.chat_id, member.user_id)
            for case in cases
            for member in case.members
            if member.user_id in addressees
        }
        return await self._devices.muted(pairs, self._now())

    async def _online_among(self, user_ids: Collection[str]) -> set[str]:
        try:
            return await self._online(user_ids)
        except Unavailable as error:
            # One push too many is better than none.
            logger.warning("nobody knows who is online: %s", error)
            return set()

    async def _badges(self, user_ids: Collection[str]) -> dict[str, int]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def badge(user_id: str) -> tuple[str, int]:
            async with turns:
                chats = await self._views.summaries(user_id, await self._views.chats_of(user_id))
                return user_id, sum(map(unread, chats))

        return dict(await asyncio.gather(*map(badge, user_ids)))

    async def _names_of(self, cases: Sequence[_Case]) -> dict[str, str]:
        users = await self._names.users({case.entry.actor_id for case in cases})
        return {user.user_id: user.display_name for user in users}

    async def _contents(
        self, cases: Sequence[_Case], addressees: Mapping[str, list[Addressee]]
    ) -> dict[tuple[str, int], _Content]:
        """(chat, seq) → what is said, of messages that somebody wants to be shown."""
        shown = [
            case
            for case in cases
            if any(each.push_preview for member in case.members for each in addressees.get(member.user_id, ()))
        ]
        await self._sealer.warm({case.entry.actor_id for case in shown})
        return {(case.entry.chat_id, case.entry.seq): self._content(case) for case in shown}

    def _content(self, case: _Case) -> _Content:
        entry, message = case.entry, case.message
        body = self._opened((entry.chat_id, message.message_id, entry.actor_id, message.body))
        file = sealed_file(entry.chat_id, entry.actor_id, message)
        try:
            info = None if file is None else read_file(self._opened(file))
        except Corrupt as error:
            logger.error("a push goes without its file's name: %s", error)
            info = None
        return _Content(body, None if info is None else info.name)

    def _opened(self, sealed: Sealed) -> str | None:
        try:
            return self._sealer.open(*sealed)
        except Corrupt as error:
            logger.error("a push goes without what cannot be opened: %s", error)
            return None


def _members(chat: Chat, user_id: str | None) -> Collection[Member]:
    if user_id is None:
        return chat.members.values()
    member = chat.members.get(user_id)
    return () if member is None else (member,)


def _push(case: _Case, addressee: Addressee, content: _Content, sender: str | None, badge: int) -> Push:
    title: str | None
    if addressee.push_preview:
        chat_title = None if case.chat.kind == "direct" else case.chat.title or ""
        title, body = words(addressee.locale, case.message.kind, content.text, sender, chat_title, content.file_name)
    else:
        title, body = without_content(addressee.locale)
    return Push(
        addressee.device,
        case.chat.chat_id,
        case.entry.seq,
        case.message.message_id,
        title,
        body,
        badge,
        from_us(case.entry.at_us) + STALE,
    )
