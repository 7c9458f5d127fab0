"""Comparing two generations of the views, chat by chat, while both are folded.

A chat is compared as of one record. Each side is looked at once, and the one that was behind then is folded on in
memory to where the other was: however busy the chat, neither is looked at again, so neither can run ahead meanwhile.
Only records that its fold had not come to are taken for that, so a record that it lost shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import msgspec

from commands.chat import Chat
from events.log import Position
from events.partitioner import partition_of
from projections.inspection import InspectedViews, Whole
from projections.ports import Changes, Entry, FirstUse, Parked
from streams.batch import BatchFold, Discards
from streams.cross_checks import FileChecks, listing_faults
from streams.differences import Difference, entry_differences, faults, heads, members, refusals, text
from streams.log_reader import LogReader
from streams.registry import Verdict


class MessageId(msgspec.Struct, gc=False):
    """Of an entry's data, the id alone."""

    message_id: str = ""


_PAGE = 1_000
_LOOKS = 3
"""At a chat that differs. What waits in a parked chat is no part of its head, and may be released between two reads."""
_messages = msgspec.json.Decoder(MessageId)


@dataclass(slots=True)
class Comparison:
    chats: int = 0
    entries: int = 0
    """Numbered events that both have."""
    differing: int = 0
    """Chats."""
    differences: list[Difference] = field(default_factory=list)
    """The first ones."""
    renumbered: bool = False

    @property
    def verdict(self) -> Verdict:
        if self.renumbered:
            return "renumbered"
        return "different" if self.differing else "same"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A chat as it stood in one generation, at one look."""

    views: InspectedViews
    whole: Whole
    behind: int
    """The first offset of its partition that the fold may not have come to."""
    parked: int | None
    """From which offset on nothing is folded."""


class Comparer:
    """Compares `rebuilt` with `served`, both folded from `log`."""

    def __init__(
        self,
        served: InspectedViews,
        rebuilt: InspectedViews,
        log: LogReader,
        discards: Discards | None = None,
        *,
        keep: int = 20,
    ) -> None:
        """`keep`: differences to tell."""
        self._served = served
        self._rebuilt = rebuilt
        self._log = log
        self._discards = discards
        self._keep = keep
        self._positions: dict[InspectedViews, dict[int, int]] = {}
        """As of some chats ago: what the folds were past of then must be in the views that are read since."""
        self.result = Comparison()

    async def run(self, report: Callable[[int], None] = lambda chats: None) -> Comparison:
        """`report` hears of chats compared. Raises Unavailable."""
        if self._discards is not None:
            self._discards = _Known(await self._discards.all())
        async for chat_ids in self._served.chat_ids():
            await self._note_positions()
            for chat_id in chat_ids:
                await self._chat(chat_id)
            report(len(chat_ids))
        async for chat_ids in self._rebuilt.chat_ids():
            await self._note_positions()
            for chat_id in chat_ids:
                if await self._served.chat(chat_id) is None:
                    await self._chat(chat_id)
        await self._parked()
        return self.result

    async def compare(self, chat_id: str) -> None:
        """One chat alone."""
        await self._note_positions()
        await self._chat(chat_id)

    async def _note_positions(self) -> None:
        for views in (self._served, self._rebuilt):
            self._positions[views] = await views.positions()

    async def _chat(self, chat_id: str) -> None:
        for _ in range(_LOOKS):
            found, entries = await self._compared(chat_id)
            if not found:
                break
        self.result.chats += 1
        self.result.entries += entries
        self.result.differing += bool(found)
        self._note(found)

    async def _compared(self, chat_id: str) -> tuple[list[Difference], int]:
        """What differs as of one record, and how many numbered events both have."""
        served, rebuilt = await self._seen(self._served, chat_id), await self._seen(self._rebuilt, chat_id)
        at = max(served.whole.chat.offset, rebuilt.whole.chat.offset)
        one, more_served = await self._advanced(served, at)
        other, more_rebuilt = await self._advanced(rebuilt, at)
        files = FileChecks(self._served, served.whole.chat), FileChecks(self._rebuilt, rebuilt.whole.chat)
        differing, entries = await self._timelines(one, other, more_served, more_rebuilt, files)
        # Not all are told, so those that name a seq come before those of which a chat may have thousands.
        found = [*heads(one, other), *differing, *members(one, other), *refusals(one, other)]
        return found + await self._listings(served, rebuilt), entries

    def _note(self, found: Collection[Difference]) -> None:
        self.result.renumbered |= any(each.renumbers for each in found)
        self.result.differences += list(found)[: self._keep - len(self.result.differences)]

    async def _seen(self, views: InspectedViews, chat_id: str) -> _Seen:
        behind = self._positions[views].get(partition_of(chat_id, self._log.partitions), 0)
        whole = await views.whole(chat_id) or Whole(Chat(chat_id), [], [], 0)
        parked = min((row.offset for row in await views.parked_of(chat_id)), default=None)
        return _Seen(views, whole, max(behind, whole.chat.offset + 1), parked)

    async def _advanced(self, seen: _Seen, offset: int) -> tuple[Whole, list[Entry]]:
        """The chat folded on to the record `offset`, and the entries that came by it."""
        whole = seen.whole
        if whole.chat.offset >= offset:
            return whole, []
        chat_id = whole.chat.chat_id
        store = _Beside(seen)
        fold = BatchFold(store, discards=self._discards)
        rows = {row.member.user_id: row for row in whole.rows}
        entries: list[Entry] = []
        refused = list(whole.refused)
        partition = partition_of(chat_id, self._log.partitions)
        for records in self._log.batches(partition, seen.behind, offset + 1, chat_id):
            rest = list(records)
            while rest:
                changes = await fold.fold(rest)
                rest = [record for record in rest if record.offset >= changes.next_offset]
                entries += changes.entries
                refused += changes.refused
                rows |= {user_id: row for (_, user_id), row in changes.members.items()}
        members = [rows[user_id] for user_id in sorted(rows)]
        return Whole(store.chat, members, refused, len(store.chat.members)), entries

    async def _timelines(
        self,
        one: Whole,
        other: Whole,
        more_one: list[Entry],
        more_other: list[Entry],
        files: tuple[FileChecks, FileChecks],
    ) -> tuple[list[Difference], int]:
        """What differs, and how many entries both have."""
        chat_id, end = one.chat.chat_id, max(one.chat.seq, other.chat.seq)
        found: list[Difference] = []
        # What was folded on in memory has no row for its id yet.
        stored = min((more[0].seq for more in (more_one, more_other) if more), default=end + 1)
        seq = entries = 0
        while seq < end:
            a = await _entries(self._served, chat_id, seq, one.chat.seq, more_one)
            b = await _entries(self._rebuilt, chat_id, seq, other.chat.seq, more_other)
            # Pages may end early, so that which is shorter ends both.
            upto = min(a[-1].seq if a else end, b[-1].seq if b else end)
            a, b = [e for e in a if e.seq <= upto], [e for e in b if e.seq <= upto]
            if a != b:
                found += entry_differences(chat_id, a, b)
            entries += min(len(a), len(b))
            messages = {message_id_of(e): e for e in a if e.type == "message.sent" and e.seq < stored}
            messages.pop("", None)
            if messages:
                found += await self._uses(chat_id, messages)
            wrong = await files[0].check(_before(a, more_one)), await files[1].check(_before(b, more_other))
            found += faults(chat_id, "uses of files", *wrong)
            seq = upto
        found += faults(chat_id, "uses of files", files[0].end(), files[1].end())
        return found, entries

    async def _listings(self, served: _Seen, rebuilt: _Seen) -> list[Difference]:
        """Whether users' lists have the chat, each by what its own generation says of the members."""
        chat_id = served.whole.chat.chat_id
        found: list[list[tuple[None, str]]] = []
        for seen in (served, rebuilt):
            users = [row.member.user_id for row in seen.whole.rows]
            listed = await seen.views.listed(chat_id, users)
            found.append([(None, what) for what in listing_faults(seen.whole, listed)])
        return faults(chat_id, "lists of chats", found[0], found[1])

    async def _uses(self, chat_id: str, messages: dict[str, Entry]) -> list[Difference]:
        """Whether the ids of these messages lead to them in both."""
        served, rebuilt = await self._served.uses_of(chat_id, messages), await self._rebuilt.uses_of(chat_id, messages)
        return [
            Difference(chat_id, entry.seq, f"first use of {message_id}", text(one), text(other))
            for message_id, entry in messages.items()
            if (one := served.get(message_id)) != (other := rebuilt.get(message_id))
        ]

    async def _parked(self) -> None:
        served_at, rebuilt_at = await self._served.positions(), await self._rebuilt.positions()
        served, rebuilt = await self._served.parked_chats(), await self._rebuilt.parked_chats()
        for chat_id in sorted(served.keys() | rebuilt.keys()):
            partition = partition_of(chat_id, self._log.partitions)
            one, other = served.get(chat_id), rebuilt.get(chat_id)
            both_at = min(served_at.get(partition, 0), rebuilt_at.get(partition, 0))
            if one != other and min(each for each in (one, other) if each is not None) < both_at:
                self.result.differing += 1
                self._note([Difference(chat_id, None, "parked from offset", text(one), text(other))])


def message_id_of(entry: Entry) -> str:
    """Of a message; "" where nobody can read it."""
    try:
        return _messages.decode(entry.raw).message_id
    except msgspec.MsgspecError:
        return ""


class _Known:
    """Discards, asked for once."""

    def __init__(self, positions: Collection[Position]) -> None:
        self._positions = positions

    async def all(self) -> Collection[Position]:
        return self._positions


class _Beside:
    """A FoldStore of one chat: what the views have of it, with what is folded on in memory alone."""

    def __init__(self, seen: _Seen) -> None:
        self.chat = replace(seen.whole.chat, members=dict(seen.whole.chat.members))
        self._views = seen.views
        self._parked = seen.parked

    async def positions(self) -> dict[int, int]:
        return await self._views.positions()

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        # The fold changes it in place.
        return {self.chat.chat_id: self.chat}

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        return await self.load(chat_ids)

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        return await self._views.first_uses(pairs)

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return await self._views.ns(pairs)

    async def parked_chats(self) -> dict[str, int]:
        return {} if self._parked is None else {self.chat.chat_id: self._parked}

    async def parked_of(self, chat_id: str) -> list[Parked]:
        return await self._views.parked_of(chat_id)

    async def apply(self, changes: Changes) -> None:
        """Nothing is written."""


async def _entries(views: InspectedViews, chat_id: str, after: int, seq: int, more: list[Entry]) -> list[Entry]:
    """The next entries up to the head at `seq`; those in `more` are not in the views yet."""
    begin = more[0].seq if more else seq + 1
    if after + 1 >= begin:
        return [entry for entry in more if entry.seq > after]
    page = await views.entries_after(chat_id, after, _PAGE)
    return [entry for entry in page.entries if entry.seq < begin]


def _before(entries: list[Entry], more: list[Entry]) -> list[Entry]:
    """Those that are in the views."""
    return [entry for entry in entries if entry.seq < more[0].seq] if more else entries
