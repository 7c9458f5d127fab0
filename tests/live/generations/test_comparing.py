"""Generations are compared as of one record, however fast both folds go on meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

import streams.batch
from events.ids import uuid7
from events.types import ChatCreated, MessageRead, MessageSent
from infra.layout import log_file, views_file
from infra.sqlite.log import SqliteLog
from infra.sqlite.log_reader import SqliteLogReader
from infra.sqlite.views import SqliteViews
from projections.inspection import Whole
from streams.rebuild import fold_up_to
from streams.verify import Comparer, Comparison
from tests.live.generations.test_rebuilding import skipping
from tests.support.history import ANA, BEN, NOON, ROOM, Clock, History
from tests.support.logs import append_all

EVENTS = 200


class Restless(SqliteViews):
    """Views whose fold takes in some more records before each look at the chat."""

    def __init__(self, path: Path, log: SqliteLogReader, pace: int) -> None:
        super().__init__(path, log.incarnation, log.ends())
        self._log = log
        self._pace = pace
        self.at = 0

    async def go_on(self, records: int) -> None:
        self.at = min(self.at + records, self._log.ends()[0])
        await fold_up_to(self._log, self, {0: self.at})

    async def whole(self, chat_id: str) -> Whole | None:
        await self.go_on(self._pace)
        return await super().whole(chat_id)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLogReader]:
    """One chat in which Ana writes and Ben reads."""
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    for n in range(EVENTS // 2):
        history.add(ANA, MessageSent(uuid7(NOON + timedelta(seconds=n)), "TEXT", b"x"))
        history.add(BEN, MessageRead(n + 2))
    written = SqliteLog(log_file(tmp_path), Clock())
    await append_all(written, [(record.key, record.value) for record in history.records])
    await written.close()
    reader = SqliteLogReader(log_file(tmp_path))
    yield reader
    reader.close()


async def compared(
    tmp_path: Path, log: SqliteLogReader, served: tuple[int, int], rebuilt: tuple[int, int]
) -> Comparison:
    """Both generations, each as (records folded so far, records folded with each look)."""
    views = [
        Restless(views_file(tmp_path, number + 1), log, pace) for number, (_, pace) in enumerate((served, rebuilt))
    ]
    try:
        for each, (at, _) in zip(views, (served, rebuilt), strict=True):
            await each.go_on(at)
        found = await Comparer(views[0], views[1], log).run()
        assert max(each.at for each in views) < EVENTS, "both were still being folded"
        return found
    finally:
        for each in views:
            each.close()


@pytest.mark.parametrize(
    ("served", "rebuilt"),
    [
        ((20, 3), (20, 5)),
        ((60, 1), (20, 9)),
        ((20, 9), (60, 1)),
        ((1, 0), (90, 7)),
        ((90, 7), (0, 1)),
        ((50, 0), (50, 0)),
    ],
)
async def test_folds_that_never_stand_at_one_record_are_the_same_all_the_same(
    tmp_path: Path, log: SqliteLogReader, served: tuple[int, int], rebuilt: tuple[int, int]
) -> None:
    found = await compared(tmp_path, log, served, rebuilt)
    assert (found.verdict, found.differences) == ("same", [])
    assert (found.chats, found.differing) == (1, 0)
    assert found.entries >= max(served[0], rebuilt[0]) // 2


@pytest.mark.parametrize("paces", [(3, 5), (5, 3)])
async def test_a_fold_that_lost_a_record_is_found_out_while_both_go_on(
    tmp_path: Path, log: SqliteLogReader, paces: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = SqliteViews(views_file(tmp_path, 2), log.incarnation, log.ends())
    with monkeypatch.context() as patched:
        patched.setattr(streams.batch, "fold_record", skipping)
        await fold_up_to(log, views, {0: 20})
    views.close()
    found = await compared(tmp_path, log, (20, paces[0]), (20, paces[1]))
    assert found.verdict == "renumbered"
    assert next((each.chat_id, each.seq) for each in found.differences if each.renumbers) == (ROOM, 4)
