"""Exports: the whole span once, the same bytes each time, whatever was interrupted, and every type in its columns."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from commands.errors import Corrupt
from events.codec import decode, make
from events.ids import uuid7
from events.types import (
    ChatCreated,
    ChatHeld,
    ChatOpened,
    ChatReleased,
    ChatRetitled,
    Data,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
    MessageSent,
    RoleChanged,
)
from infra.analysts import export as exports
from infra.analysts import manifest as manifests
from infra.analysts.columns import FIELDS, prefix
from infra.analysts.export import Target, export, following_on
from infra.analysts.manifest import Manifest
from infra.analysts.storage import Folder
from infra.cli.faults import Fault
from infra.settings import Settings
from infra.sqlite.log import SqliteLog
from infra.sqlite.log_reader import SqliteLogReader
from tests.support.history import ANA, BEN, CLEO, NOON, Clock
from tests.support.logs import append, event

EVERY: list[Data] = [
    ChatCreated("group", "Tea", False, "all", [ANA, BEN]),
    ChatRetitled("Tea at nine"),
    ChatOpened(True),
    MemberJoined(CLEO),
    MemberLeft(CLEO, "erased"),
    MemberAdded(CLEO),
    MemberRemoved(CLEO),
    RoleChanged(BEN, "admin"),
    MessageSent(uuid7(NOON), "TEXT", b"\x01sealed", None, uuid7(NOON)),
    MessageSent(uuid7(NOON), "IMAGE", b"\x02sealed", "a-file", None, b"\x03sealed"),
    MessageDelivered(3),
    MessageRead(7),
    ChatHeld("repair"),
    ChatReleased([3, 4]),
]


EVENTS = 4 * (20 * len(EVERY) + 1) + 1


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PIECE", 100)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """Three partitions; four hours with all types of events in twenty chats, and a record that is none."""
    clock = Clock()
    log = SqliteLog(tmp_path / "log.db", clock, 3)
    rooms = [uuid7(NOON) for _ in range(20)]
    await more(log, clock, rooms, 4)
    yield log
    await log.close()


async def more(log: SqliteLog, clock: Clock, rooms: list[str], hours: int) -> None:
    for hour in range(hours):
        events = [make(uuid7(clock()), room, ANA, clock(), data) for room in rooms for data in EVERY]
        for one in events:
            log.append(one, lambda position, error: None)
        if hour == 1:
            log.append_raw(rooms[0], b"{broken", lambda position, error: None)
        await append(log, event(7, rooms[0]))
        clock.move(3_600)


def run(settings: Settings, out: Path, **more: Any) -> Manifest:
    reader = SqliteLogReader(settings.data / "log.db")
    try:
        ends = more.pop("end", None) or reader.ends()
        return export(
            settings, reader, more.pop("begin", None) or dict.fromkeys(ends, 0), ends, Target(str(out)), **more
        )
    finally:
        reader.close()


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def rows(out: Path, made: Manifest) -> list[dict[str, Any]]:
    return [row for file in made.files for row in pq.ParquetFile(out / file.path).read().to_pylist()]


async def test_every_record_is_there_once_with_its_fields_in_columns(
    log: SqliteLog, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = run(settings, out, workers=1)
    found = {(row["partition"], row["offset"]): row for row in rows(out, made)}
    ends = await log.end()
    assert len(found) == made.events == sum(ends.values()) == EVENTS
    assert made.types == {**dict.fromkeys(FIELDS, 80), "message.sent": 160, "message.read": 84, "unreadable": 1}
    for partition, end in ends.items():
        for record in await log.read(partition, 0, end):
            row = found[partition, record.offset]
            assert row["chat_id"] == record.key
            assert row["appended_at"].timestamp() * 1000 == record.timestamp_ms
            if record.value == b"{broken":
                assert row["error"].startswith("not an event")
                assert (row["unreadable"], row["type"], row["event_id"]) == (record.value, None, None)
                continue
            one = decode(record.value).event
            names = ("event_id", "type", "version", "chat_id", "actor_id", "occurred_at")
            assert [row[name] for name in names] == [getattr(one, name) for name in names]
            for kind, fields in FIELDS.items():
                for field in fields:
                    expected = getattr(one.data, field) if kind == one.type else None
                    assert row[f"{prefix(kind)}_{field}"] == expected


async def test_files_lie_by_date_and_hour_and_the_manifest_knows_them(
    log: SqliteLog, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = run(settings, out, workers=1)
    hours = {path.split("/")[1] for path in content(out) if path != manifests.NAME}
    assert hours == {f"hour={hour}" for hour in (12, 13, 14, 15)}
    for file in made.files:
        stored = (out / file.path).read_bytes()
        assert (len(stored), sha256(stored).hexdigest()) == (file.bytes, file.sha256)
        assert file.path.endswith(f"/{file.partition:05d}-{file.first_offset:015d}.parquet")
        assert file.last_offset - file.first_offset + 1 == file.records
    assert set(content(out)) == {file.path for file in made.files} | {manifests.NAME}
    assert manifests.read(Folder(out)) == made
    assert {int(name): offset for name, offset in made.to_offsets.items()} == await log.end()


async def test_whoever_is_given_the_folder_reads_it_whole(log: SqliteLog, settings: Settings, tmp_path: Path) -> None:
    """As pandas does, and with globs and by the layout that Spark and Hive know, as DuckDB does."""
    out = tmp_path / "out"
    made = run(settings, out, workers=1)
    table = pq.read_table(out)
    assert table.num_rows == made.events
    assert sorted(set(table.column("hour").to_pylist())) == [12, 13, 14, 15]
    query = f"SELECT count(*), count(DISTINCT hour) FROM read_parquet('{out}/**/*.parquet', hive_partitioning = true)"
    assert duckdb.execute(query).fetchall() == [(made.events, 4)]


async def test_a_repeat_gives_the_same_bytes_in_one_process_or_several(
    log: SqliteLog, settings: Settings, tmp_path: Path
) -> None:
    run(settings, tmp_path / "one", workers=1)
    run(settings, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    run(settings, tmp_path / "two", workers=1)
    assert content(tmp_path / "one") == content(tmp_path / "two")


async def test_one_that_was_stopped_goes_on_and_ends_where_it_was_to_end(
    log: SqliteLog, settings: Settings, tmp_path: Path
) -> None:
    run(settings, tmp_path / "whole", workers=1)
    written: list[int] = []

    def stop(records: int) -> None:
        written.append(records)
        if len(written) == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(settings, out, workers=1, report=stop)
    assert not (out / manifests.NAME).exists()
    await append(log, *(event(1) for _ in range(150)))
    left: list[int] = []
    run(settings, out, workers=1, begun=left.append)
    assert left == [EVENTS - sum(written[:2])]
    assert content(out) == content(tmp_path / "whole")


async def test_the_next_one_takes_what_came_since_and_touches_no_older_file(
    log: SqliteLog, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = run(settings, out, workers=1)
    before = content(out)
    await append(log, *(event(number) for number in range(150)))
    reader = SqliteLogReader(settings.data / "log.db")
    begin = following_on(first, reader)
    reader.close()
    both = run(settings, out, begin=begin, before=first, workers=1)
    assert both.events == first.events + 150
    assert both.from_offsets == first.from_offsets
    after = content(out)
    assert {name: after[name] for name in before if name != manifests.NAME} == {
        name: kept for name, kept in before.items() if name != manifests.NAME
    }
    found = [(row["partition"], row["offset"]) for row in rows(out, both)]
    assert len(found) == len(set(found)) == sum((await log.end()).values())
    again = run(settings, out, begin=following_on_of(both, settings), before=both, workers=1)
    assert again == both


def following_on_of(made: Manifest, settings: Settings) -> dict[int, int]:
    reader = SqliteLogReader(settings.data / "log.db")
    try:
        return following_on(made, reader)
    finally:
        reader.close()


async def test_a_whole_export_replaces_the_pieces_of_earlier_ones(
    log: SqliteLog, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ends = await log.end()
    half = {partition: end // 2 + 7 for partition, end in ends.items()}
    first = run(settings, out, end=half, workers=1)
    run(settings, out, begin=half, before=first, workers=1)
    run(settings, out, workers=1)
    run(settings, tmp_path / "whole", workers=1)
    assert content(out) == content(tmp_path / "whole")


async def test_large_records_make_more_files_not_larger_ones(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", Clock(NOON + timedelta(hours=1)))
    for _ in range(90):
        log.append_raw("a chat", b"x" * 1_000_000, lambda position, error: None)
    await log.wait(0, 89)
    made = run(Settings(data=tmp_path), tmp_path / "out", workers=1)
    assert [file.records for file in made.files] == [34, 34, 22]
    await log.close()


async def test_another_logs_manifest_is_refused(log: SqliteLog, settings: Settings, tmp_path: Path) -> None:
    made = run(settings, tmp_path / "out", workers=1)
    other = Manifest(**{**json.loads(manifests.encode(made)), "incarnation": "another", "files": []})
    with pytest.raises(Fault, match="is of the log another"):
        following_on_of(other, settings)
    (tmp_path / "out" / manifests.NAME).write_text("{}")
    with pytest.raises(Corrupt, match=r"_manifest\.json is no manifest"):
        manifests.read(Folder(tmp_path / "out"))
