"""Files: what is known of one, who keeps its bytes, and the handlers that store it, give it out and let it go.

The bytes lie in object storage, what is known of them in SQL, and the log holds only a reference. A file is noted
before its bytes are stored and counts from the moment that all of them are: whatever a crash leaves behind has a note,
and is swept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from typing import Protocol

import msgspec

from commands.errors import BadToken, FieldError, Gone, Invalid, NoSuchFile, RateLimited, TidingsError, TooLarge
from commands.spool import SpoolFolder
from events.ids import id_ms, is_uuid7, unix_ms, uuid7

MAX_FILE_BYTES = 100 * 1024 * 1024
LIFE = timedelta(days=30)
UPLOAD_LIFE = timedelta(hours=1)
"""A noted file whose bytes are not there after so long will never have them."""
QUOTA_BYTES = 5 * 1024**3
MAX_COMING = 48
"""Uploads of one user that may be under way at once."""
SWEEP_AT_ONCE = 500
SWEEP_EVERY_S = 600.0
THUMBNAIL_TYPE = "image/webp"

log = logging.getLogger(__name__)


class FileInfo(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a message says of its file. `sha256` is in hex; width and height, in pixels, are a picture's alone."""

    file_id: str
    name: str
    content_type: str
    size: int
    sha256: str
    expires_at: datetime
    width: int | None = None
    height: int | None = None

    @property
    def is_picture(self) -> bool:
        return self.width is not None


@dataclass(frozen=True, slots=True)
class StoredFile:
    owner_id: str
    info: FileInfo
    thumbnail_size: int | None = None
    """In bytes; a picture's alone."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What can be shown of a file: upright, with a smaller copy."""

    thumbnail: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file turned out to be, going by its content. `path`: where it lies without its notes, None where it has
    none that are known of."""

    content_type: str
    path: Path | None = None
    picture: Picture | None = None


Examine = Callable[[Path, str], Awaitable[Examined]]
"""Looks at a file of a user; what it makes of a picture lies beside it. Raises RateLimited, Unavailable."""


class FileRecords(Protocol):
    """What is known of files. All raise Unavailable."""

    async def begin(self, file: StoredFile, at: datetime, quota: int) -> bool:
        """Note a file whose bytes are about to be stored. False if its owner has been erased.

        Raises TooLarge where the owner's files would come to more than `quota` bytes.
        """

    async def used(self, owner_id: str, at: datetime) -> int:
        """Bytes that the owner's files come to, as `begin` counts them."""

    async def finish(self, file_id: str) -> bool:
        """All bytes are stored: the file counts. False if it was swept, or its owner erased, in the meantime."""

    async def find(self, file_id: str) -> StoredFile | None:
        """A file that counts and whose owner was not erased; perhaps one whose time is over."""

    async def doomed(self, now: datetime, begun_before: datetime, limit: int) -> Sequence[str]:
        """Files whose time is over, whose owner was erased, or that were begun so long ago and never finished."""

    async def remove(self, file_ids: Collection[str]) -> None:
        """Forget them: their bytes are gone."""


class Blobs(Protocol):
    """Where bytes lie: an object for each key. All raise Unavailable."""

    async def put(self, key: str, source: Path, content_type: str) -> None:
        """Store a local file, whole or not at all. Takes the file: it may be moved."""

    def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """`length` bytes from `start` on, piece by piece; where there are none, asking for the first raises
        NoSuchFile."""

    async def delete(self, keys: Collection[str]) -> None:
        """Remove objects; those that are not there count as removed."""

    async def link(self, key: str, life: timedelta, content_type: str, disposition: str) -> str | None:
        """A URL at which the storage itself answers for a while, or None where clients cannot reach it."""

    async def ping(self) -> None:
        """Return if the storage answers."""


def content_key(file_id: str) -> str:
    return f"{file_id}/content"


def thumbnail_key(file_id: str) -> str:
    return f"{file_id}/thumbnail"


MayRead = Callable[[str, StoredFile], Awaitable[bool]]
"""Whether this user may read this file. Raises Unavailable."""


@dataclass(slots=True)
class _Coming:
    """What one user is sending right now."""

    uploads: int = 0
    used: int | None = None
    """Bytes that were kept when the first of these began."""
    size: int = 0
    """Bytes that came since, of files that have been kept in the meantime too."""


class Files:
    """Handlers. `may_read` alone decides who gets a file; `life`: how long one is kept."""

    def __init__(
        self,
        records: FileRecords,
        blobs: Blobs,
        spools: SpoolFolder,
        examine: Examine,
        may_read: MayRead,
        now: Callable[[], datetime],
        *,
        life: timedelta = LIFE,
        quota: int = QUOTA_BYTES,
    ) -> None:
        self.blobs = blobs
        self._records = records
        self._spools = spools
        self._examine = examine
        self._may_read = may_read
        self._now = now
        self._life = life
        self._quota = quota
        self._coming: dict[str, _Coming] = {}

    async def receive(self, owner_id: str, name: str, chunks: AsyncIterator[bytes]) -> FileInfo:
        """Keep an upload. A picture is kept without its notes, so its size and hash are that one's; one that is too
        large or too damaged to be shown is a file like others.

        Raises TooLarge (the file, the quota), Invalid (empty), RateLimited (too many uploads or pictures at once),
        BadToken (the owner was erased meanwhile), Unavailable, and what `chunks` raises.
        """
        async with self._counted(owner_id, chunks) as counted, self._spools.spool() as spool:
            await spool.fill(counted, MAX_FILE_BYTES)
            if not spool.size:
                raise Invalid("the file is empty", errors=(FieldError("file", "is empty"),))
            examined = await self._examine(spool.path, owner_id)
            picture = examined.picture
            size, digest = spool.size, spool.sha256
            if examined.path is not None:
                size, digest = await asyncio.to_thread(measured, examined.path)
            now = self._now()
            info = FileInfo(
                uuid7(now),
                name,
                examined.content_type,
                size,
                digest,
                now.replace(microsecond=now.microsecond // 1000 * 1000) + self._life,
                None if picture is None else picture.width,
                None if picture is None else picture.height,
            )
            thumbnail_size = None if picture is None else picture.thumbnail.stat().st_size
            is_there = await self._records.begin(StoredFile(owner_id, info, thumbnail_size), now, self._quota)
            if is_there:
                if picture is not None:
                    await self.blobs.put(thumbnail_key(info.file_id), picture.thumbnail, THUMBNAIL_TYPE)
                content = examined.path or spool.path
                await self.blobs.put(content_key(info.file_id), content, info.content_type)
                is_there = await self._records.finish(info.file_id)
        if not is_there:
            raise BadToken("this account was erased")
        return info

    @asynccontextmanager
    async def _counted(self, owner_id: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chunks, for as long as all that the owner is sending here fits the quota: what is on its way lies on the
        disk already. Of several gateways each counts what comes to it.
        """
        coming = self._coming.setdefault(owner_id, _Coming())
        if coming.uploads >= MAX_COMING:
            raise RateLimited(f"at most {MAX_COMING} files at once", retry_after_ms=5_000)
        coming.uploads += 1
        mine = 0

        async def counting(used: int) -> AsyncIterator[bytes]:
            nonlocal mine
            async for chunk in chunks:
                mine += len(chunk)
                coming.size += len(chunk)
                if used + coming.size > self._quota:
                    raise TooLarge(f"your files may come to {self._quota} bytes; {used} are in use")
                yield chunk

        try:
            used = await self._records.used(owner_id, self._now()) if coming.used is None else coming.used
            coming.used = used if coming.used is None else coming.used
            yield counting(coming.used)
        except BaseException:
            coming.size -= mine
            raise
        finally:
            coming.uploads -= 1
            if not coming.uploads:
                del self._coming[owner_id]

    async def readable(self, user_id: str, file_id: str) -> StoredFile:
        """The file, for somebody who may read it. Raises NoSuchFile, Gone, Unavailable."""
        stored = await self._found(file_id)
        if not await self._may_read(user_id, stored):
            raise NoSuchFile("no file that you may read has this id")
        return self._alive(stored)

    async def linked(self, file_id: str) -> StoredFile:
        """The file, for somebody who shows a link to it that was made for who may. As `readable`."""
        return self._alive(await self._found(file_id))

    async def sweep(self, given_up: datetime | None = None) -> int:
        """Remove the bytes of files that are doomed, and then what is known of them; how many. Raises Unavailable.

        `given_up`: what was noted before and is not finished never will be; else what was an hour ago. A crash
        anywhere repeats work and changes nothing.
        """
        await asyncio.to_thread(self._spools.sweep)
        swept = 0
        while True:
            now = self._now()
            doomed = await self._records.doomed(now, given_up or now - UPLOAD_LIFE, SWEEP_AT_ONCE)
            gone, failure = await self._delete(doomed)
            if gone:
                await self._records.remove(gone)
            swept += len(gone)
            if failure is not None and (not gone or len(doomed) < SWEEP_AT_ONCE):
                raise failure
            if len(doomed) < SWEEP_AT_ONCE:
                return swept

    async def _delete(self, doomed: Sequence[str]) -> tuple[Sequence[str], Exception | None]:
        """Remove their bytes, together or, should that fail, one by one: those that are gone, and what one raised."""
        if not doomed:
            return doomed, None
        try:
            await self.blobs.delete([key(each) for each in doomed for key in (content_key, thumbnail_key)])
        except Exception as error:
            gone, failure = [], error
            for each in doomed if len(doomed) > 1 else ():
                try:
                    await self.blobs.delete([content_key(each), thumbnail_key(each)])
                except Exception as its_own:
                    failure = its_own
                else:
                    gone.append(each)
            return gone, failure
        return doomed, None

    async def _found(self, file_id: str) -> StoredFile:
        if is_uuid7(file_id):
            stored = await self._records.find(file_id)
            if stored is not None:
                return stored
            # Its record may be swept, but its id has a time inside: no file of that time is kept any more. This
            # tells nothing about whether there ever was one.
            if id_ms(file_id) + self._life // timedelta(milliseconds=1) <= unix_ms(self._now()):
                raise Gone("files are not kept that long")
        raise NoSuchFile("no file that you may read has this id")

    def _alive(self, stored: StoredFile) -> StoredFile:
        if stored.info.expires_at <= self._now():
            raise Gone("files are not kept that long")
        return stored


def measured(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 in hex."""
    with path.open("rb") as file:
        return path.stat().st_size, file_digest(file, "sha256").hexdigest()


class Sweeper:
    """Sweeps now and then, and soon after somebody was erased. What fails is told and left to the next time.

    `started`: when this process began, where no other stores files; then uploads that an earlier one left go at once.
    """

    def __init__(self, files: Files, started: datetime | None = None, every_s: float = SWEEP_EVERY_S) -> None:
        self._files = files
        self._started = started
        self._every_s = every_s
        self._woken = asyncio.Event()

    def wake(self, user_id: str) -> None:
        """Somebody was erased: an observer of accounts."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; the composition root runs this as a task and cancels it."""
        while True:
            try:
                count = await self._files.sweep(self._started)
                self._started = None
                if count:
                    log.info("%d files removed", count)
            except TidingsError as error:
                log.warning("files that should go stay a while longer: %s", error)
            except Exception:
                log.exception("files that should go stay a while longer")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._woken.wait()
            self._woken.clear()
