"""Chats as they were, for a server: the log is read again for each question, on a thread, beside everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from infra.log_readers import discards_of, open_log_reader
from infra.memory.views import MemoryViews
from infra.settings import Settings
from infra.sql.database import Database
from infra.sql.reveals import Reveal, note_reveal
from streams.places import offsets_as_of
from streams.time_travel import fold_chat

AT_ONCE = 2
"""Questions: they take a core each."""


class LogTimeMachine:
    """See `api.past.TimeMachine`."""

    def __init__(self, settings: Settings, database: Database, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._database = database
        self._now = now
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def views_of(self, chat_id: str, place: str) -> MemoryViews:
        async with self._turns:
            return await asyncio.to_thread(self._fold, chat_id, place)

    def _fold(self, chat_id: str, place: str) -> MemoryViews:
        views = MemoryViews()
        with closing(open_log_reader(self._settings)) as reader:
            ends = offsets_as_of(place, reader, reader.ends(), self._now())
            asyncio.run(fold_chat(reader, discards_of(self._settings), views, chat_id, ends))
        return views

    async def note(self, who: str, what: str) -> None:
        await note_reveal(self._database, Reveal(self._now(), who, what))
