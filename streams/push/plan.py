"""Who is to hear of a message, on which devices, and in which words: decided from what is true right now."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from commands.attachments import read_file, sealed_file
from commands.chat import Chat, Member
from commands.devices import Addressee, DeviceStore
from commands.errors import Corrupt, Unavailable
from commands.sealing import Sealed, Sealer
from commands.users import User
from events.codec import decode_row
from events.ids import from_us
from events.types import MessageSent
from projections.ports import ChatViews, Entry
from streams.push.notifier import STALE
from streams.push.ports import Online, Push
from streams.push.words import without_content, words

logger = logging.getLogger(__name__)


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

    @property
    def place(self) -> tuple[str, int]:
        return self.entry.chat_id, self.entry.seq


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
        # In the order in which most people drop out, so that nothing is read for those who are not to hear.
        addressees = await self._addressees(cases)
        cases = _among(cases, lambda _, user_id: user_id in addressees)
        muted, online = await asyncio.gather(self._muted(cases), self._online_among(_users(cases)))
        cases = _among(cases, lambda chat_id, user_id: user_id not in online and (chat_id, user_id) not in muted)
        if not cases:
            return [], late
        badges, names, contents = await asyncio.gather(
            self._views.unread_of(_users(cases)), self._names_of(cases), self._contents(cases, addressees)
        )
        pushes = []
        for case in cases:
            content, sender = contents.get(case.place, _NOTHING), names.get(case.entry.actor_id)
            for user_id in (member.user_id for member in case.members):
                for each in addressees[user_id]:
                    if case.wanted.device_id not in (None, each.device.device_id):
                        continue
                    try:
                        pushes.append((case.wanted, _push(case, each, content, sender, badges[user_id])))
                    except Exception:
                        # The other devices are pushed to all the same.
                        logger.exception("no push can be made for device %s", each.device.device_id)
        return pushes, late

    async def _cases(self, wanted: Sequence[Wanted]) -> tuple[list[_Case], list[Wanted]]:
        chats = await self._views.chats({each.chat_id for each in wanted})
        late: list[Wanted] = []
        there: list[Wanted] = []
        for each in wanted:
            # Rows are written before heads: what the head has, can be read.
            chat = chats.get(each.chat_id)
            (there if chat is not None and chat.seq >= each.seq else late).append(each)
        entries = {
            (entry.chat_id, entry.seq): entry
            for entry in await self._views.entries_at([(each.chat_id, each.seq) for each in there])
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
            message = decode_row(entry.type, entry.raw)
            assert isinstance(message, MessageSent)
            if members:
                cases.append(_Case(each, chat, entry, message, members))
        return cases, late

    async def _addressees(self, cases: Sequence[_Case]) -> Mapping[str, list[Addressee]]:
        """User → devices, of those who have any."""
        found: defaultdict[str, list[Addressee]] = defaultdict(list)
        if cases:
            for each in await self._devices.addressees(_users(cases), self._now()):
                found[each.device.user_id].append(each)
        return found

    async def _muted(self, cases: Sequence[_Case]) -> set[tuple[str, str]]:
        pairs = {(case.chat.chat_id, member.user_id) for case in cases for member in case.members}
        return await self._devices.muted(pairs, self._now()) if pairs else set()

    async def _online_among(self, user_ids: Collection[str]) -> set[str]:
        try:
            return await self._online(user_ids) if user_ids else set()
        except Unavailable as error:
            # One push too many is better than none.
            logger.warning("nobody knows who is online: %s", error)
            return set()

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
            if any(each.push_preview for member in case.members for each in addressees[member.user_id])
        ]
        authors = {case.entry.actor_id for case in shown}
        try:
            await self._sealer.warm(authors)
        except Corrupt:
            await self._warm_each(authors)
        return {case.place: self._content(case) for case in shown}

    async def _warm_each(self, author_ids: Collection[str]) -> None:
        """One whose key does not open keeps nobody else's closed."""
        for author_id in author_ids:
            try:
                await self._sealer.warm((author_id,))
            except Corrupt as error:
                logger.error("a push goes without what cannot be opened: %s", error)

    def _content(self, case: _Case) -> _Content:
        entry, message = case.entry, case.message
        if not self._sealer.ready(entry.actor_id):
            # Asked for just now: there is no such key, or it does not open.
            return _NOTHING
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


def _users(cases: Iterable[_Case]) -> set[str]:
    return {member.user_id for case in cases for member in case.members}


def _among(cases: Iterable[_Case], hears: Callable[[str, str], bool]) -> list[_Case]:
    """The cases with those members alone for whom it is true: (chat, user)."""
    left = (
        replace(case, members=[member for member in case.members if hears(case.chat.chat_id, member.user_id)])
        for case in cases
    )
    return [case for case in left if case.members]


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
