"""Exports to a bucket of a real S3 server: the same objects as in a folder, incremental, and open to SQL."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from infra.analysts import export as exports
from infra.analysts.manifest import NAME, UNDER_WAY
from infra.sqlite.log import SqliteLog
from tests.support.cli import Done, run
from tests.support.history import Clock
from tests.support.logs import append, event
from tests.support.s3 import S3
from tests.support.server import free_port

EVENTS = 250


@pytest.fixture
async def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(exports, "PIECE", 100)
    await grow(tmp_path, EVENTS)
    return tmp_path


async def grow(data: Path, count: int) -> None:
    log = SqliteLog(data / "log.db", Clock(), 1)
    await append(log, *(event(number) for number in range(count)))
    await log.close()


def export(data: Path, s3: S3, out: str, *more: str) -> dict[str, Any]:
    done = tool(data, s3, "events", "export", "--out", out, "--workers", "1", *more)
    assert done.status == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def tool(data: Path, s3: S3, *arguments: str) -> Done:
    return run(data, *arguments, settings={"TIDINGS_S3_ENDPOINT": s3.endpoint})


def objects(s3: S3, bucket: str) -> dict[str, bytes]:
    """But for empty ones in the name of a folder, which the driver leaves where it removed something."""
    client = s3.client()
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        for each in found
        if not each["Key"].endswith("/")
    }


async def test_a_bucket_gets_the_same_objects_as_a_folder_and_the_same_again(data: Path, s3: S3) -> None:
    bucket = s3.bucket()
    told = export(data, s3, f"s3://{bucket}/some/log")
    assert told["manifest"] == f"s3://{bucket}/some/log/{NAME}"
    assert (told["events"], told["files"]) == (EVENTS, 3)
    first = objects(s3, bucket)
    export(data, s3, str(data / "folder"))
    folder = {
        f"some/log/{path.relative_to(data / 'folder')}": path.read_bytes()
        for path in (data / "folder").rglob("*")
        if path.is_file()
    }
    assert first == folder
    export(data, s3, f"s3://{bucket}/some/log")
    assert objects(s3, bucket) == first
    assert f"some/log/{UNDER_WAY}" not in first


async def test_tomorrow_only_what_came_since_is_written(data: Path, s3: S3) -> None:
    bucket = s3.bucket()
    export(data, s3, f"s3://{bucket}")
    before = objects(s3, bucket)
    await grow(data, 40)
    told = export(data, s3, f"s3://{bucket}", "--since-manifest")
    assert (told["events"], told["from"], told["to"]) == (EVENTS + 40, {"0": 0}, {"0": EVENTS + 40})
    after = objects(s3, bucket)
    assert {name for name in before if after[name] != before[name]} == {NAME}
    assert len(after) == len(before) + 1


async def test_it_is_asked_in_sql_where_it_lies(data: Path, s3: S3) -> None:
    place = f"s3://{s3.bucket()}/log"
    export(data, s3, place)
    query = 'SELECT type, count(*) AS events, max("offset") AS last FROM events GROUP BY type ORDER BY type'
    done = tool(data, s3, "sql", query, "--export", place, "--output", "csv")
    assert done.status == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert sum(int(row["events"]) for row in rows) == EVENTS
    assert max(int(row["last"]) for row in rows) == EVENTS - 1


async def test_a_bucket_that_is_not_there_or_does_not_answer_is_told(data: Path, s3: S3) -> None:
    done = tool(data, s3, "events", "export", "--out", "s3://nobodys-bucket/log", "--workers", "1")
    assert done.status == 1
    assert "the bucket answers" in done.stderr
    assert "nobodys-bucket" in done.stderr
    nowhere = S3(f"http://127.0.0.1:{free_port()}")
    done = tool(data, nowhere, "events", "export", "--out", "s3://any-bucket/log", "--workers", "1")
    assert done.status == 1
    assert "the bucket answers" in done.stderr
    done = tool(data, s3, "sql", "SELECT 1", "--export", f"s3://{s3.bucket()}/empty")
    assert done.status == 1
    assert "tidings events export makes one" in done.stderr
