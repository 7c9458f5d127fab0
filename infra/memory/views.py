"""The chat views in memory: for folds that nobody needs to keep, such as a chat as it was."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import replace
from heapq import nlargest

from commands.chat import Chat, Member
from projections.fold import snapshot
from projections.ports import Changes, Entry, FileUse, FirstUse, Page, Parked, Place, Refused, Summary

_PAGE_BYTES = 1024 * 1024


class MemoryViews:
    """A FoldStore and ChatViews. Grows with what is folded; lives on one event loop."""

    def __init__(self) -> None:
        self._positions: dict[int, int] = {}
        self._chats: dict[str, Chat] = {}
        self._entries: dict[str, list[Entry]] = {}
        """Seq 1 stands first: numbers are dense."""
        self._uses: dict[tuple[str, str], FirstUse] = {}
        self._refused: dict[tuple[str, int], Refused] = {}
        self._parked: dict[str, dict[int, Parked]] = {}
        self._files: dict[tuple[str, str], FileUse] = {}

    # --- the fold's side -------------------------------------------------------------------------------------

    async def positions(self) -> dict[int, int]:
        return dict(self._positions)

    async def load(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        return {chat_id: _copy(self._chats[chat_id]) for chat_id in chat_ids if chat_id in self._chats}

    async def secured(self, chat_ids: Collection[str], since: int) -> dict[str, Chat]:
        return await self.load(chat_ids)

    async def first_uses(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], FirstUse]:
        return {pair: self._uses[pair] for pair in pairs if pair in self._uses}

    async def ns(self, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return {(entry.chat_id, entry.seq): entry.n for entry in await self.entries_at(list(pairs))}

    async def parked_chats(self) -> dict[str, int]:
        return {chat_id: min(rows) for chat_id, rows in self._parked.items() if rows}

    async def parked_of(self, chat_id: str) -> list[Parked]:
        return [row for _, row in sorted(self._parked.get(chat_id, {}).items())]

    async def apply(self, changes: Changes) -> None:
        for entry in changes.entries:
            own = self._entries.setdefault(entry.chat_id, [])
            del own[entry.seq - 1 :]
            own.append(entry)
        for use in changes.uses:
            self._uses[use.chat_id, use.message_id] = use
        for row in changes.refused:
            self._refused[row.chat_id, row.offset] = row
        for parked in changes.parked:
            self._parked.setdefault(parked.chat_id, {})[parked.offset] = parked
        for released in changes.released:
            self._parked[released.chat_id].pop(released.offset, None)
        self._files.update(changes.files)
        self._chats.update(snapshot(changes).heads)
        self._positions[changes.partition] = changes.next_offset

    # --- queries ---------------------------------------------------------------------------------------------

    async def chat(self, chat_id: str) -> Chat | None:
        return (await self.load([chat_id])).get(chat_id)

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        return await self.load(chat_ids)

    async def chats_of(self, user_id: str) -> list[str]:
        return [chat_id for chat_id, chat in self._chats.items() if user_id in chat.members]

    async def newest_of(self, user_id: str, after: Place | None, limit: int) -> list[Place]:
        places = ((chat.at_us, chat_id) for chat_id, chat in self._chats.items() if user_id in chat.members)
        return nlargest(limit, (each for each in places if after is None or each < after))

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        chats = [self._chats[chat_id] for chat_id in chat_ids if chat_id in self._chats]
        return [
            Summary(replace(chat, members={}), len(chat.members), chat.members[user_id], *chat.others_marks(user_id))
            for chat in chats
            if user_id in chat.members
        ]

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        return {
            user_id: sum(
                max(0, chat.n - chat.members[user_id].read_n)
                for chat in self._chats.values()
                if user_id in chat.members
            )
            for user_id in user_ids
        }

    async def members(self, chat_id: str, after: str, limit: int) -> list[Member]:
        chat = self._chats.get(chat_id)
        later = sorted(user_id for user_id in (chat.members if chat else ()) if user_id > after)
        return [chat.members[user_id] for user_id in later[:limit]] if chat else []

    async def entries_after(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        return _page(self._entries.get(chat_id, [])[max(seq, 0) :], limit, messages_only)

    async def entries_before(self, chat_id: str, seq: int, limit: int, messages_only: bool = False) -> Page:
        page = _page(self._entries.get(chat_id, [])[: max(seq - 1, 0)][::-1], limit, messages_only)
        page.entries.reverse()
        return page

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        return [
            self._entries[chat_id][seq - 1]
            for chat_id, seq in dict.fromkeys(keys)
            if 0 < seq <= len(self._entries.get(chat_id, ()))
        ]

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        return self._uses.get((chat_id, message_id))

    async def file_uses(self, file_id: str, after: str, limit: int) -> list[FileUse]:
        chats = sorted(chat_id for file, chat_id in self._files if file == file_id and chat_id > after)
        return [self._files[file_id, chat_id] for chat_id in chats[:limit]]

    async def refused_at(self, chat_id: str, offset: int) -> Refused | None:
        return self._refused.get((chat_id, offset))

    async def seq_before(self, chat_id: str, at_us: int) -> int:
        return bisect_left(self._entries.get(chat_id, []), at_us, key=lambda entry: entry.at_us)


def _copy(chat: Chat) -> Chat:
    return replace(chat, members=dict(chat.members))


def _page(entries: Sequence[Entry], limit: int, messages_only: bool) -> Page:
    found: list[Entry] = []
    size = 0
    for entry in entries:
        if messages_only and entry.type != "message.sent":
            continue
        if len(found) == limit or (found and size + len(entry.raw) > _PAGE_BYTES):
            return Page(found, True)
        found.append(entry)
        size += len(entry.raw)
    return Page(found, False)
