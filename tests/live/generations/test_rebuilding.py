"""Rebuilding a generation: interrupted anywhere, never twice at once, and refused where the fold was changed."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import streams.batch
from benchmarks.kit.history import records
from events.ids import uuid7
from events.types import ChatCreated, MessageSent
from infra.layout import log_file, views_file
from infra.sqlite.chat_views import SqliteChatViews
from infra.sqlite.log import SqliteLog
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views import SqliteViews
from infra.whole import note_without_accounts
from projections.fold import fold_record
from streams.rebuild import catch_up
from tests.support.cli import Done, Started, run, started
from tests.support.history import ANA, BEN, NOON, ROOM, Clock, History
from tests.support.logs import append_all


def make(data: Path, events: list[tuple[str, bytes]]) -> None:
    """A data directory with this log, and the first generation folded from it."""

    async def work() -> None:
        log = SqliteLog(log_file(data), Clock())
        await append_all(log, events)
        views = SqliteViews(views_file(data), log.incarnation, await log.end())
        await catch_up(log, views)
        views.close()
        await log.close()
        note_without_accounts(log_file(data))

    asyncio.run(work())


def talk() -> list[tuple[str, bytes]]:
    """Eleven events of one chat."""
    history = History()
    history.add(ANA, ChatCreated("group", "Tea", False, "all", [ANA, BEN]))
    history.all(BEN, (MessageSent(uuid7(NOON + timedelta(seconds=n)), "TEXT", b"x") for n in range(10)))
    return [(record.key, record.value) for record in history.records]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make(tmp_path, talk())
    return tmp_path


def projections(data: Path, *arguments: str) -> Done:
    return run(data, "projections", *arguments)


def verdict(data: Path) -> dict[str, Any]:
    done = projections(data, "verify", "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.status == (0 if told["verdict"] == "same" else 1)
    return told


def skipping(changes: Any, hot: Any, record: Any, decoded: Any, *rest: Any) -> None:
    """A fold that lost one message."""
    if record.offset != 5:
        fold_record(changes, hot, record, decoded, *rest)


def retitling(changes: Any, hot: Any, record: Any, decoded: Any, *rest: Any) -> None:
    """A fold that keeps all numbers, but gives chats another title."""
    fold_record(changes, hot, record, decoded, *rest)
    hot.chat.title = "Coffee"


def change(data: Path, generation: int, statement: str) -> None:
    """What a fold that was deployed since would have made of it."""
    with closing(sqlite3.connect(views_file(data, generation))) as db, db:
        db.execute(statement)


RENUMBER = "UPDATE timeline SET offset = 3 WHERE offset = 4"
RETITLE = "UPDATE chats SET title = 'Coffee'"


def test_what_was_the_same_once_is_compared_again_before_it_is_served(data: Path) -> None:
    assert projections(data, "rebuild", "timeline").status == 0
    assert verdict(data)["verdict"] == "same"
    change(data, 2, RETITLE)
    refused = projections(data, "switch")
    assert (refused.status, "differs from the served one" in refused.stderr) == (1, True)
    change(data, 2, RENUMBER)
    for more in ([], ["--accept-differences"]):
        refused = projections(data, "switch", *more)
        assert refused.status == 1
    assert "name other events" in refused.stderr
    assert asyncio.run(FileRegistry(data).read()).served == 1


def test_a_rollback_goes_back_over_differences_but_not_to_other_numbers(data: Path) -> None:
    assert projections(data, "rebuild", "timeline").status == 0
    assert verdict(data)["verdict"] == "same"
    assert projections(data, "switch").status == 0
    change(data, 1, RENUMBER)
    refused = projections(data, "rollback")
    assert (refused.status, "name other events" in refused.stderr) == (1, True)
    change(data, 1, "UPDATE timeline SET offset = 4 WHERE offset = 3 AND place & 4294967295 = 5")
    change(data, 1, RETITLE)
    done = projections(data, "rollback")
    assert (done.status, "generation 1 is served" in done.stdout) == (0, True), done.stderr
    assert "differs in 1 of 1 chats" in done.stderr


def test_a_rollback_to_what_is_not_folded_is_refused(data: Path) -> None:
    assert projections(data, "rebuild", "timeline").status == 0
    assert verdict(data)["verdict"] == "same"
    assert projections(data, "switch").status == 0
    assert projections(data, "pause", "1").status == 0
    refused = projections(data, "rollback")
    assert (refused.status, "is not folded" in refused.stderr) == (1, True)


def test_a_fold_that_gives_other_numbers_is_found_out_and_never_served(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(streams.batch, "fold_record", skipping)
        assert projections(data, "rebuild", "timeline").status == 0
    told = verdict(data)
    assert (told["verdict"], told["differing"]) == ("renumbered", 1)
    renumbered = next(each for each in told["differences"] if each["renumbers"])
    assert (renumbered["chat_id"], renumbered["seq"]) == (ROOM, 6)
    shown = projections(data, "verify").stdout
    assert f"chat {ROOM} seq 6: another event" in shown
    for more in ([], ["--accept-differences"]):
        refused = projections(data, "switch", *more)
        assert refused.status == 1
        assert "numbers that clients know name other events" in refused.stderr


def test_a_fold_that_was_changed_on_purpose_is_served_only_when_that_is_said(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(streams.batch, "fold_record", retitling)
        assert projections(data, "rebuild", "chats").status == 0
    told = verdict(data)
    assert told["verdict"] == "different"
    assert [(each["what"], each["served"], each["rebuilt"]) for each in told["differences"]] == [
        ("head: title", "'Tea'", "'Coffee'")
    ]
    assert "--accept-differences" in projections(data, "switch").stderr
    assert "generation 2 is served" in projections(data, "switch", "--accept-differences").stdout
    assert "generation 1 is served" in projections(data, "rollback").stdout


def lose(data: Path, statement: str) -> None:
    import sqlite3

    with sqlite3.connect(views_file(data, 2)) as db:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("statement", "seq", "what"),
    [
        ("DELETE FROM timeline WHERE place & 4294967295 = 4", 4, "event"),
        ("DELETE FROM message_ids WHERE seq = 7", 7, "first use"),
        ("UPDATE members SET read_n = 3 WHERE read_n = 0", None, "member"),
        ("DELETE FROM members WHERE read_n = 0", None, "member"),
        ("DELETE FROM chats", None, "head: kind"),
        ("UPDATE timeline SET raw = '{}' WHERE place & 4294967295 = 2", 2, "event"),
        ("INSERT INTO parked VALUES ('another', 3, 0, 'broken', x'00')", None, "parked"),
    ],
)
def test_whatever_a_store_has_lost_is_found(data: Path, statement: str, seq: int | None, what: str) -> None:
    assert projections(data, "rebuild", "timeline").status == 0
    assert verdict(data)["verdict"] == "same"
    lose(data, statement)
    told = verdict(data)
    assert told["verdict"] == "different"
    assert told["differences"][0]["seq"] == seq
    assert told["differences"][0]["what"].startswith(what)


def test_chats_that_stand_at_different_records_are_compared_at_the_later_one(data: Path) -> None:
    assert projections(data, "rebuild", "timeline").status == 0

    async def go_on() -> None:
        """The served generation gets ahead of the other one."""
        log = SqliteLog(log_file(data), Clock())
        history = History()
        history.add(BEN, MessageSent(uuid7(NOON + timedelta(seconds=60)), "TEXT", b"x"))
        history.add(BEN, MessageSent("no id", "TEXT", b"x"))
        await append_all(log, [(record.key, record.value) for record in history.records])
        views = SqliteViews(views_file(data), log.incarnation, await log.end())
        await catch_up(log, views)
        views.close()
        await log.close()

    asyncio.run(go_on())
    assert verdict(data)["verdict"] == "same"
    lose(data, "UPDATE chats SET void = 7")
    assert verdict(data)["differences"][0]["what"] == "head: void"


def test_what_was_never_compared_is_not_served(data: Path) -> None:
    assert projections(data, "rebuild", "timeline").status == 0
    refused = projections(data, "switch")
    assert refused.status == 1
    assert "projections verify" in refused.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["rebuild", "nonsense"], "it is one of chats, timeline"),
        (["verify"], "there is only the served generation"),
        (["verify", "--generation", "7"], "there is no generation 7"),
        (["drop", "1"], "generation 1 is the served one"),
        (["reset", "1"], "generation 1 is the served one"),
        (["rollback"], "no other generation was served before"),
        (["pause", "9"], "there is no generation 9"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(data: Path, command: list[str], says: str) -> None:
    done = projections(data, *command)
    assert done.status != 0
    assert says in done.stderr
    assert done.stdout == ""


def test_a_number_is_never_given_twice(data: Path) -> None:
    for number in (2, 3):
        assert projections(data, "rebuild", "timeline").status == 0
        assert f"generation {number} is dropped" in projections(data, "drop", str(number)).stdout
    assert projections(data, "rebuild", "timeline").status == 0
    assert projections(data, "reset", "4").status == 0
    assert "generation 5: 11 events" in projections(data, "rebuild", "timeline").stdout


def positions(data: Path) -> int:
    """How far the second generation is."""
    if not views_file(data, 2).exists():
        return 0
    views = SqliteChatViews(views_file(data, 2))
    try:
        return sum(asyncio.run(views.positions()).values())
    except Exception:  # being made right now
        return 0
    finally:
        views.close()


def under_way(data: Path, rebuilding: Started, beyond: int) -> None:
    """Wait until a rebuild has got somewhere."""
    until = time.monotonic() + 60
    while positions(data) <= beyond:
        assert rebuilding.process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("long")
    make(data, list(asyncio.run(records(60_000, 200, 20))))
    return data


def test_a_rebuild_may_be_interrupted_anywhere_and_goes_on(long: Path) -> None:
    command = ("projections", "rebuild", "timeline")
    reached = 0
    for end in (signal.SIGINT, signal.SIGKILL):
        with started(long, *command) as rebuilding:
            under_way(long, rebuilding, reached)
            rebuilding.process.send_signal(signal.SIGSTOP)
            beside = run(long, *command)
            assert beside.status == 1
            assert "another rebuild is under way" in beside.stderr
            rebuilding.process.send_signal(signal.SIGCONT)
            status, _, err = rebuilding.end(end)
            assert status == (130 if end is signal.SIGINT else -end), err
            reached = positions(long)
            assert end is signal.SIGKILL or "generation 2 is not finished" in err
    refused = projections(long, "verify")
    assert refused.status == 1
    assert "still being built" in refused.stderr
    done = projections(long, "rebuild", "timeline", "--json")
    assert 0 < json.loads(done.stdout)["events"] == 60_000 - reached
    assert verdict(long)["verdict"] == "same"
