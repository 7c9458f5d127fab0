"""The contract of object storage, on a folder and on a real S3 server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.errors import Invalid, NoSuchFile, TidingsError, Unavailable
from commands.files import Blobs
from infra.files.folder import FolderBlobs
from infra.files.s3 import S3Blobs
from tests.support.s3 import S3
from tests.support.server import free_port

KEY, OTHER = "0199-a/content", "0199-b/content"
Source = Callable[[bytes], Path]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    def make(content: bytes) -> Path:
        path = tmp_path / os.urandom(8).hex()
        path.write_bytes(content)
        return path

    return make


@pytest.fixture(params=["folder", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    if request.param == "folder":
        yield FolderBlobs(tmp_path / "files")
        return
    s3: S3 = request.getfixturevalue("s3")
    bucket = S3Blobs(f"s3://{s3.bucket()}/some/prefix", endpoint=s3.endpoint)
    yield bucket
    await bucket.close()


async def read(blobs: Blobs, key: str, start: int, length: int) -> bytes:
    return b"".join([piece async for piece in blobs.read(key, start, length)])


async def test_what_was_put_is_read_whole_and_in_part(blobs: Blobs, source: Source) -> None:
    content = os.urandom(700_000)
    await blobs.put(KEY, source(content), "application/octet-stream")
    assert await read(blobs, KEY, 0, len(content)) == content
    assert await read(blobs, KEY, 0, 1) == content[:1]
    assert await read(blobs, KEY, 299_999, 300_000) == content[299_999:599_999]
    assert await read(blobs, KEY, len(content) - 1, 1) == content[-1:]


async def test_a_large_object_comes_in_pieces(blobs: Blobs, source: Source) -> None:
    await blobs.put(KEY, source(b"x" * 2_000_000), "text/plain")
    assert max([len(piece) async for piece in blobs.read(KEY, 0, 2_000_000)]) <= 1_000_000


async def test_putting_again_replaces_the_whole(blobs: Blobs, source: Source) -> None:
    await blobs.put(KEY, source(b"the first, longer one"), "text/plain")
    await blobs.put(KEY, source(b"second"), "text/plain")
    assert await read(blobs, KEY, 0, 6) == b"second"


async def test_what_is_not_there_is_told_with_the_first_piece(blobs: Blobs) -> None:
    pieces = blobs.read(KEY, 0, 1)
    with pytest.raises(NoSuchFile):
        await anext(pieces)


async def test_deleting_takes_all_that_are_named_and_minds_none_that_is_not_there(blobs: Blobs, source: Source) -> None:
    for key in (KEY, OTHER):
        await blobs.put(key, source(b"x"), "text/plain")
    await blobs.delete([KEY, "0199-c/content"])
    await blobs.delete([KEY])
    await blobs.delete([])
    with pytest.raises(NoSuchFile):
        await read(blobs, KEY, 0, 1)
    assert await read(blobs, OTHER, 0, 1) == b"x"


async def test_many_go_in_and_out_at_once(blobs: Blobs, source: Source) -> None:
    keys = [f"0199-{number}/content" for number in range(30)]
    await asyncio.gather(*(blobs.put(key, source(key.encode()), "text/plain") for key in keys))
    assert await asyncio.gather(*(read(blobs, key, 0, len(key)) for key in keys)) == [key.encode() for key in keys]
    await blobs.delete(keys)


async def test_it_answers_and_gives_no_links_unless_clients_can_reach_it(blobs: Blobs) -> None:
    await blobs.ping()
    assert await blobs.link(KEY, timedelta(minutes=5), "text/plain", "attachment") is None


# --- the folder ------------------------------------------------------------------------------------------------


async def test_the_folder_takes_no_key_that_leads_out_of_it(tmp_path: Path, source: Source) -> None:
    for key in ("../../etc/passwd", "a/b/c", "/etc/passwd", "abc/..", ""):
        with pytest.raises(ValueError, match="no key"):
            await FolderBlobs(tmp_path / "files").put(key, source(b"x"), "text/plain")


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, source: Source) -> None:
    (tmp_path / "files").write_text("a file stands here")
    with pytest.raises(Unavailable):
        await FolderBlobs(tmp_path / "files").put(KEY, source(b"x"), "text/plain")


# --- the bucket ------------------------------------------------------------------------------------------------


async def test_a_link_leads_to_the_storage_which_answers_with_our_type_and_name(s3: S3, source: Source) -> None:
    bucket = S3Blobs(f"s3://{s3.bucket()}", endpoint=s3.endpoint, direct=True)
    await bucket.put(KEY, source(b"hello"), "text/plain")
    link = await bucket.link(KEY, timedelta(minutes=5), "image/webp", 'inline; filename="a.webp"')
    assert link is not None
    async with httpx.AsyncClient() as http:
        answer = await http.get(link)
        assert (answer.status_code, answer.content) == (200, b"hello")
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["content-disposition"] == 'inline; filename="a.webp"'
    assert link.startswith(bucket.address[:20])
    await bucket.close()


async def test_the_lifecycle_rule_stands_beside_those_of_others_and_is_not_repeated(s3: S3) -> None:
    name = s3.bucket()
    others: Any = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 7}}
    s3.client().put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [others]})
    for days in (30, 30, 10):
        bucket = S3Blobs(f"s3://{name}/chat", endpoint=s3.endpoint)
        await bucket.prepare(timedelta(days=days))
        await bucket.close()
    rules = s3.client().get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [(rule["ID"], rule["Expiration"]["Days"], rule["Filter"]["Prefix"]) for rule in rules] == [
        ("theirs", 7, "logs/"),
        ("tidings-files-chat", 10, "chat/"),
    ]


async def test_a_bucket_that_is_not_there_and_a_storage_that_is_away_are_unavailable(s3: S3, source: Source) -> None:
    for bucket in (
        S3Blobs("s3://nobodys-bucket", endpoint=s3.endpoint),
        S3Blobs("s3://any-bucket", endpoint=f"http://127.0.0.1:{free_port()}"),
    ):
        with pytest.raises(Unavailable):
            await bucket.ping()
        with pytest.raises(Unavailable):
            await bucket.put(KEY, source(b"x"), "text/plain")
        with pytest.raises(Unavailable):
            await bucket.prepare(timedelta(days=30))
        with pytest.raises(Unavailable):
            await read(bucket, KEY, 0, 1)
        await bucket.close()


def test_without_its_library_it_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "infra.files.s3")
    with pytest.raises(Invalid, match=r"tidings\[s3\]"):
        import_module("infra.files.s3")


@pytest.mark.parametrize("url", ["s3://", "http://bucket", "s3:bucket"])
async def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(TidingsError) as refused:
        S3Blobs(url)
    assert isinstance(refused.value, Invalid)
