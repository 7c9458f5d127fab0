"""Files, put together from settings: where their bytes lie, what is known of them, and who looks at uploads."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit

from api.file_links import FileLinks
from api.file_services import FileServices
from commands.errors import Unavailable
from commands.files import Blobs, Files, Sweeper
from commands.spool import SpoolFolder
from infra.files.folder import FolderBlobs
from infra.files.images import Examiner
from infra.layout import files_folder, incoming_folder
from infra.master_key import derive
from infra.settings import Settings
from infra.sql.database import Database
from infra.sql.files import SqlFiles
from projections.file_access import may_read
from projections.ports import ChatViews

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """`sweeper.run()` is a task of whoever opens it."""

    services: FileServices
    sweeper: Sweeper

    @property
    def files(self) -> Files:
        return self.services.files

    @property
    def checks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"files": self.files.blobs.ping}


async def open_files(
    settings: Settings,
    database: Database,
    views: ChatViews,
    secret: bytes,
    now: Callable[[], datetime],
    stack: AsyncExitStack,
) -> OpenedFiles | None:
    """`secret`: shared by all gateways. None in a cluster that has no place for files. What it opens is closed with the
    stack. Raises Invalid, and Unavailable for a folder that cannot be used; a bucket may be away."""
    if settings.kafka and settings.files is None:
        return None
    life = timedelta(days=settings.files_days)
    blobs, origins = await _blobs(settings, life, stack)
    examiner = Examiner()
    stack.push_async_callback(examiner.close)
    files = Files(
        SqlFiles(database),
        blobs,
        SpoolFolder(_incoming(settings)),
        examiner.examine,
        partial(may_read, views),
        now,
        life=life,
        quota=settings.files_quota_mb * 1024 * 1024,
    )
    links = FileLinks(derive(secret, "links to files"), now, settings.cdn_url or "")
    return OpenedFiles(FileServices(files, links, origins), Sweeper(files, None if settings.kafka else now()))


async def _blobs(settings: Settings, life: timedelta, stack: AsyncExitStack) -> tuple[Blobs, tuple[str, ...]]:
    """Where bytes lie, and the origins that clients are sent to for them."""
    origins = [_origin(settings.cdn_url)] if settings.cdn_url else []
    if settings.files is None or not settings.files.startswith("s3://"):
        folder = FolderBlobs(_folder(settings))
        await folder.ping()
        return folder, tuple(origins)
    from infra.files.s3 import S3Blobs

    bucket = S3Blobs(settings.files, endpoint=settings.s3_endpoint, direct=settings.files_direct)
    stack.push_async_callback(bucket.close)
    try:
        await bucket.prepare(life)
    except Unavailable as error:
        log.warning("%s", error)
    if settings.files_direct:
        origins.append(_origin(bucket.address))
    return bucket, tuple(origins)


def _folder(settings: Settings) -> Path:
    return files_folder(settings.data) if settings.files is None else Path(settings.files)


def _incoming(settings: Settings) -> Path:
    """Beside the files, where they lie in a folder: an upload is then moved and not copied."""
    if settings.files is None or settings.files.startswith("s3://"):
        return Path(gettempdir()) / "tidings-incoming" if settings.kafka else incoming_folder(settings.data)
    return incoming_folder(Path(settings.files))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
