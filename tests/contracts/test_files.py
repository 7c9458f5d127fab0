"""Files from upload to oblivion: on SQLite with a folder, and on PostgreSQL with a real S3 server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from commands.errors import BadToken, Gone, Invalid, NoSuchFile, RateLimited, TooLarge, Unavailable
from commands.files import MAX_COMING, Blobs, Examined, FileInfo, Files, StoredFile, Sweeper, content_key, thumbnail_key
from commands.spool import Spool, SpoolFolder
from events.ids import uuid7
from infra.files.folder import FolderBlobs
from infra.files.images import Examiner
from infra.files.s3 import S3Blobs
from infra.sql.files import SqlFiles
from tests.support.caller import PASSWORD
from tests.support.people import Clock, Site, site
from tests.support.pictures import SECRET, opened, picture, saved
from tests.support.postgres import database
from tests.support.pushing import until
from tests.support.s3 import S3

QUOTA = 3_000_000


@dataclass
class Breaking:
    """Storage that fails before, or does something else during, the next put."""

    blobs: Blobs
    before_put: Any = None
    deleted: list[str] = field(default_factory=list)
    has_deleted: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, key: str, source: Path, content_type: str) -> None:
        if self.before_put is not None:
            await self.before_put(key)
        await self.blobs.put(key, source, content_type)

    async def delete(self, keys: Collection[str]) -> None:
        self.deleted += keys
        await self.blobs.delete(keys)
        self.has_deleted.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.blobs, name)


@dataclass
class Desk:
    """Files and everything around them. `readers`: who may read besides the owner."""

    site: Site
    files: Files
    blobs: Breaking
    folder: Path
    readers: set[str] = field(default_factory=set)

    @property
    def clock(self) -> Clock:
        return self.site.clock

    async def person(self, name: str) -> str:
        return (await self.site.accounts.register(name, PASSWORD)).user.user_id

    async def send(self, owner_id: str, content: bytes, name: str = "notes.bin") -> FileInfo:
        return await self.files.receive(owner_id, name, chunks(content))

    async def content(self, key: str, size: int) -> bytes:
        return b"".join([piece async for piece in self.blobs.read(key, 0, size)])

    async def is_kept(self, info: FileInfo) -> bool:
        try:
            await self.content(content_key(info.file_id), info.size)
        except NoSuchFile:
            return False
        return True

    @property
    def incoming(self) -> list[Path]:
        return list(self.folder.glob("*"))


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


@pytest.fixture(params=["folder", "s3"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    url = None
    bucket = None
    blobs: Blobs
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        url = await database(request.getfixturevalue("postgres"))
        blobs = bucket = S3Blobs(f"s3://{s3.bucket()}", endpoint=s3.endpoint)
    else:
        blobs = FolderBlobs(tmp_path / "files")
    async with opened_desk(tmp_path, blobs, url) as made:
        yield made
    if bucket is not None:
        await bucket.close()


@asynccontextmanager
async def opened_desk(tmp_path: Path, blobs: Blobs, url: str | None) -> AsyncIterator[Desk]:
    async with site(tmp_path, url=url) as its:
        examiner = Examiner(workers=1)
        readers: set[str] = set()

        async def may_read(user_id: str, stored: StoredFile) -> bool:
            return user_id == stored.owner_id or user_id in readers

        breaking = Breaking(blobs)
        folder = tmp_path / "incoming"
        records = SqlFiles(its.database)
        files = Files(records, breaking, SpoolFolder(folder), examiner.examine, may_read, its.clock, quota=QUOTA)
        yield Desk(its, files, breaking, folder, readers)
        await examiner.close()


async def test_a_file_is_kept_as_it_came_for_those_who_may_read_it(desk: Desk) -> None:
    ana, ben = await desk.person("ana"), await desk.person("ben")
    content = os.urandom(1_500_000)
    info = await desk.send(ana, content, "data.bin")
    assert (info.name, info.size, info.sha256) == ("data.bin", len(content), sha256(content).hexdigest())
    assert (info.content_type, info.width, info.height) == ("application/octet-stream", None, None)
    assert info.expires_at == desk.clock() + timedelta(days=30)
    assert await desk.files.readable(ana, info.file_id) == StoredFile(ana, info)
    assert await desk.content(content_key(info.file_id), info.size) == content
    with pytest.raises(NoSuchFile):
        await desk.files.readable(ben, info.file_id)
    desk.readers.add(ben)
    assert (await desk.files.readable(ben, info.file_id)).info == info
    assert desk.incoming == []


async def test_a_picture_is_kept_without_its_notes_and_with_a_small_copy(desk: Desk) -> None:
    ana = await desk.person("ana")
    info = await desk.send(ana, picture(size=(1_000, 500)), "party.jpg")
    assert (info.content_type, info.width, info.height) == ("image/jpeg", 1_000, 500)
    stored = await desk.files.readable(ana, info.file_id)
    content = await desk.content(content_key(info.file_id), info.size)
    assert sha256(content).hexdigest() == info.sha256
    assert SECRET not in content
    assert stored.thumbnail_size is not None
    assert opened(await desk.content(thumbnail_key(info.file_id), stored.thumbnail_size)).size == (640, 320)
    assert desk.incoming == []


@pytest.mark.parametrize(("content", "error"), [(b"", Invalid), (b"x" * (QUOTA + 1), TooLarge)])
async def test_what_is_refused_leaves_nothing(desk: Desk, content: bytes, error: type[Exception]) -> None:
    ana = await desk.person("ana")
    with pytest.raises(error):
        await desk.send(ana, content)
    assert desk.incoming == []
    assert await desk.files.sweep(desk.clock() + timedelta(days=1)) == 0


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (picture()[:600], "image/jpeg"),
        (b"GIF89a is how a GIF begins", "text/plain"),
        (b"GIF89a\0\1\2 but no GIF", "image/gif"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (saved(Image.new("L", (9_000, 6_000)), "PNG"), "image/png"),
        (saved(Image.new("RGB", (9, 9)), "TIFF", tiffinfo={270: SECRET.decode()}), "image/tiff"),
    ],
)
async def test_what_cannot_be_shown_is_a_file_like_others(desk: Desk, content: bytes, content_type: str) -> None:
    ana = await desk.person("ana")
    info = await desk.send(ana, content)
    assert (info.content_type, info.width, info.height) == (content_type, None, None)
    stored = await desk.files.readable(ana, info.file_id)
    assert stored.thumbnail_size is None
    kept = await desk.content(content_key(info.file_id), info.size)
    assert (sha256(kept).hexdigest(), len(kept)) == (info.sha256, info.size)
    assert SECRET not in kept


async def test_the_quota_counts_what_is_kept_and_frees_what_is_over(desk: Desk) -> None:
    ana, ben = await desk.person("ana"), await desk.person("ben")
    await desk.send(ana, b"x" * (QUOTA - 10))
    with pytest.raises(TooLarge):
        await desk.send(ana, b"x" * 11)
    await desk.send(ana, b"x" * 10)
    await desk.send(ben, b"x" * 11)
    desk.clock.advance(timedelta(days=30).total_seconds())
    await desk.send(ana, b"x" * 11)


async def test_after_thirty_days_a_file_is_gone_and_says_so_for_ever(desk: Desk) -> None:
    ana = await desk.person("ana")
    info = await desk.send(ana, b"x" * 10)
    desk.clock.advance(timedelta(days=30).total_seconds() - 1)
    assert await desk.files.sweep() == 0
    assert await desk.files.readable(ana, info.file_id)
    desk.clock.advance(1)
    with pytest.raises(Gone):
        await desk.files.readable(ana, info.file_id)
    assert await desk.files.sweep() == 1
    assert not await desk.is_kept(info)
    with pytest.raises(Gone):
        await desk.files.readable(ana, info.file_id)
    desk.clock.advance(timedelta(days=3_000).total_seconds())
    with pytest.raises(Gone):
        await desk.files.linked(info.file_id)


@pytest.mark.parametrize("name", ["", "x", "0", "../../etc/passwd", "\0"])
async def test_an_id_that_names_nothing_is_not_found(desk: Desk, name: str) -> None:
    for file_id in (name, uuid7(desk.clock())):
        with pytest.raises(NoSuchFile):
            await desk.files.readable("somebody", file_id)


async def test_files_of_an_erased_user_go_at_once_for_readers_and_then_from_the_storage(desk: Desk) -> None:
    ana, ben = await desk.person("ana"), await desk.person("ben")
    hers, his = await desk.send(ana, picture()), await desk.send(ben, b"his")
    desk.readers.add(ben)
    await desk.site.accounts.erase(ana, PASSWORD)
    for who in (ana, ben):
        with pytest.raises(NoSuchFile):
            await desk.files.readable(who, hers.file_id)
    with pytest.raises(NoSuchFile):
        await desk.files.linked(hers.file_id)
    assert await desk.files.sweep() == 1
    assert not await desk.is_kept(hers)
    assert await desk.is_kept(his)
    assert await desk.files.sweep() == 0
    with pytest.raises(BadToken):
        await desk.send(ana, b"more")


async def test_who_is_erased_during_an_upload_leaves_nothing(desk: Desk) -> None:
    ana = await desk.person("ana")

    async def erase(key: str) -> None:
        desk.blobs.before_put = None
        await desk.site.accounts.erase(ana, PASSWORD)

    desk.blobs.before_put = erase
    with pytest.raises(BadToken):
        await desk.send(ana, b"the last")
    assert await desk.files.sweep() == 1
    assert len(desk.blobs.deleted) == 2


async def test_an_upload_that_broke_off_is_no_file_and_is_swept(desk: Desk) -> None:
    ana = await desk.person("ana")
    tried: list[str] = []

    async def fail(key: str) -> None:
        tried.append(key)
        if key.endswith("content"):
            raise Unavailable("the storage is away")

    desk.blobs.before_put = fail
    with pytest.raises(Unavailable):
        await desk.send(ana, picture())
    file_id = tried[0].partition("/")[0]
    with pytest.raises(NoSuchFile):
        await desk.files.readable(ana, file_id)
    assert await desk.files.sweep() == 0  # another process may just be storing it
    desk.clock.advance(3_601)
    assert await desk.files.sweep() == 1
    assert set(desk.blobs.deleted) == {content_key(file_id), thumbnail_key(file_id)}


async def test_what_a_server_that_is_alone_left_unfinished_goes_at_its_next_start(desk: Desk) -> None:
    ana = await desk.person("ana")

    async def die(key: str) -> None:
        raise Unavailable("the process was killed here")

    kept = await desk.send(ana, b"kept")
    desk.blobs.before_put = die
    with pytest.raises(Unavailable):
        await desk.send(ana, b"half")
    desk.clock.advance(1)
    sweeper = Sweeper(desk.files, desk.clock())
    task = asyncio.create_task(sweeper.run())
    async with asyncio.timeout(20):
        await desk.blobs.has_deleted.wait()
    task.cancel()
    assert len(desk.blobs.deleted) == 2
    assert await desk.is_kept(kept)


async def test_a_sweep_that_breaks_off_is_repeated(desk: Desk) -> None:
    ana = await desk.person("ana")
    info = await desk.send(ana, b"x")
    desk.clock.advance(timedelta(days=31).total_seconds())
    whole = desk.blobs.blobs.delete

    async def fail(keys: Collection[str]) -> None:
        raise Unavailable("the storage is away")

    desk.blobs.blobs.delete = fail  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await desk.files.sweep()
    desk.blobs.blobs.delete = whole  # type: ignore[method-assign]
    assert await desk.files.sweep() == 1
    assert not await desk.is_kept(info)


async def test_the_sweeper_wakes_when_somebody_was_erased(desk: Desk) -> None:
    ana, ben = await desk.person("ana"), await desk.person("ben")
    await desk.send(ana, b"x")
    sweeper = Sweeper(desk.files)
    desk.site.accounts.observers.append(sweeper.wake)
    task = asyncio.create_task(sweeper.run())
    first = await desk.send(ben, b"y")
    await desk.site.accounts.erase(ana, PASSWORD)
    async with asyncio.timeout(20):
        await desk.blobs.has_deleted.wait()
    task.cancel()
    assert await desk.is_kept(first)


# --- spools ----------------------------------------------------------------------------------------------------


async def test_a_spool_is_left_alone_while_it_is_written_and_swept_when_its_process_is_no_more(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    orphan = tmp_path / "up-orphan"
    orphan.mkdir()
    (orphan / "upload").write_bytes(b"half")
    async with folder.spool() as spool:
        await spool.fill(chunks(b"x" * 10), 10)
        assert SpoolFolder(tmp_path).sweep() == 1
        assert not orphan.exists()
        assert spool.path.read_bytes() == b"x" * 10
    assert os.listdir(tmp_path) == []


async def test_a_spool_takes_up_to_its_limit_and_is_gone_when_it_is_too_much(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    async with folder.spool() as spool:
        await spool.fill(chunks(b"x" * 300_000), 300_000)
        assert (spool.size, spool.sha256) == (300_000, sha256(b"x" * 300_000).hexdigest())

    async def fill(into: Spool) -> None:
        await into.fill(chunks(b"x" * 300_001), 300_000)

    async with folder.spool() as spool:
        with pytest.raises(TooLarge):
            await fill(spool)
    assert os.listdir(tmp_path) == []


async def test_a_picture_that_takes_too_long_ends_its_worker_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(picture("PNG", (4_000, 4_000)))
    hasty = Examiner(workers=1, patience_s=0.001)
    assert await hasty.examine(path, "ana") == Examined("image/png")
    await hasty.close()
    patient = Examiner(workers=1)
    path.write_bytes(picture())
    for _ in range(2):
        assert (await patient.examine(path, "ana")).content_type == "image/jpeg"
    await patient.close()


async def test_a_worker_that_is_killed_harms_its_own_picture_alone(tmp_path: Path) -> None:
    examiner = Examiner(workers=2)
    for name in ("ana", "ben"):
        (tmp_path / name).mkdir()
    large, small = tmp_path / "ana" / "upload", tmp_path / "ben" / "upload"
    large.write_bytes(picture("PNG", (6_000, 6_000)))
    small.write_bytes(picture())
    await examiner.examine(small, "ana")
    (worker,) = examiner._all
    task = asyncio.create_task(examiner.examine(large, "ana"))
    await until(lambda: not examiner._idle)
    worker.kill()
    examined, other = await asyncio.gather(task, examiner.examine(small, "ben"))
    # Another worker still took its notes out.
    assert (examined.content_type, examined.picture) == ("image/png", None)
    assert examined.path is not None
    assert SECRET not in examined.path.read_bytes()
    assert other.picture is not None
    await examiner.close()


def test_a_worker_ends_itself_beyond_the_seconds_of_a_core_that_a_picture_has() -> None:
    endless = (
        "from infra.files import image_worker; image_worker.CPU_S = 0; "
        "image_worker.answer = lambda asked: all(True for _ in iter(int, 1)); image_worker.main()"
    )
    run = subprocess.run([sys.executable, "-c", endless], input=b"{}\n", timeout=60, check=False)
    assert run.returncode == -signal.SIGXCPU


async def test_a_path_is_meant_from_here_and_not_from_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "upload").write_bytes(picture())
    examiner = Examiner(workers=1)
    assert (await examiner.examine(Path("upload"), "ana")).picture is not None
    await examiner.close()


async def test_others_do_not_wait_for_all_pictures_of_one(tmp_path: Path) -> None:
    examiner = Examiner(workers=1)
    uploads = []
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "upload").write_bytes(picture("PNG", (2_000, 2_000)))
        uploads.append(folder / "upload")
    done: list[str] = []

    async def examine(path: Path, owner: str) -> None:
        assert (await examiner.examine(path, owner)).picture is not None
        done.append(owner)

    hers = [asyncio.create_task(examine(path, "ana")) for path in uploads[:7]]
    await until(lambda: bool(examiner._all))
    await asyncio.gather(examine(uploads[7], "ben"), *hers)
    assert done.index("ben") <= 2
    await examiner.close()


async def test_what_is_on_its_way_counts_with_what_is_kept(desk: Desk) -> None:
    ana, ben = await desk.person("ana"), await desk.person("ben")
    await desk.send(ana, b"x" * 1_000_000)
    go_on = asyncio.Event()
    taken = 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(9):
            taken += 100_000
            yield b"y" * 100_000
        await go_on.wait()

    uploads = [asyncio.create_task(desk.files.receive(ana, "slow", slow())) for _ in range(2)]
    await until(lambda: taken == 1_800_000)
    with pytest.raises(TooLarge):
        await desk.send(ana, b"z" * 500_000)
    await desk.send(ana, b"z" * 100_000)
    await desk.send(ben, b"z" * 2_000_000)  # another's
    with pytest.raises(TooLarge):
        await desk.send(ana, b"z" * 200_000)
    go_on.set()
    await asyncio.gather(*uploads)
    with pytest.raises(TooLarge):
        await desk.send(ana, b"z" * 200_000)
    await desk.send(ana, b"z" * 100_000)
    assert desk.files._coming == {}


async def test_so_many_uploads_of_one_user_are_taken_at_once(desk: Desk) -> None:
    ana = await desk.person("ana")
    go_on = asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield b"x"
        await go_on.wait()

    uploads = [asyncio.create_task(desk.files.receive(ana, "held", held())) for _ in range(MAX_COMING)]
    await until(lambda: len(desk.incoming) == MAX_COMING)
    with pytest.raises(RateLimited):
        await desk.send(ana, b"one more")
    go_on.set()
    await asyncio.gather(*uploads)
    await desk.send(ana, b"one more")
