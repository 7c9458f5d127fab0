"""What is known of files, in SQL: the adapter of `commands.files.FileRecords`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, delete, exists, func, insert, not_, or_, select, update

from commands.errors import TooLarge
from commands.files import FileInfo, StoredFile
from infra.sql.database import Database
from infra.sql.tables import FileRow, UserRow

_OWNER_LIVES = exists().where(UserRow.user_id == FileRow.owner_id, UserRow.erased_at.is_(None))
_INFO = (
    FileRow.file_id,
    FileRow.name,
    FileRow.content_type,
    FileRow.size,
    FileRow.sha256,
    FileRow.expires_at,
    FileRow.width,
    FileRow.height,
)
"""In the order of `FileInfo`'s fields."""


class SqlFiles:
    """That its owner was erased is looked up with each file: nothing has to be written to make it unreadable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, file: StoredFile, at: datetime, quota: int) -> bool:
        return await self._database.write(lambda db: _begin(db, file, at, quota))

    async def used(self, owner_id: str, at: datetime) -> int:
        return await self._database.read(lambda db: _used(db, owner_id, at))

    async def finish(self, file_id: str) -> bool:
        change = update(FileRow).where(FileRow.file_id == file_id, _OWNER_LIVES).values(ready=True)
        return await self._database.write(lambda db: db.execute(change).rowcount == 1)

    async def find(self, file_id: str) -> StoredFile | None:
        query = select(FileRow.owner_id, FileRow.thumbnail_size, *_INFO).where(
            FileRow.file_id == file_id, FileRow.ready, _OWNER_LIVES
        )
        row = await self._database.read(lambda db: db.execute(query).one_or_none())
        if row is None:
            return None
        owner_id, thumbnail_size, *info = row
        return StoredFile(owner_id, FileInfo(*info), thumbnail_size)

    async def doomed(self, now: datetime, begun_before: datetime, limit: int) -> Sequence[str]:
        over = FileRow.expires_at <= now
        given_up = and_(not_(FileRow.ready), FileRow.begun_at < begun_before)
        query = select(FileRow.file_id).where(or_(over, given_up, not_(_OWNER_LIVES))).limit(limit)
        return await self._database.read(lambda db: list(db.scalars(query)))

    async def remove(self, file_ids: Collection[str]) -> None:
        change = delete(FileRow).where(FileRow.file_id.in_(file_ids))
        await self._database.write(lambda db: db.execute(change))


def _used(db: Connection, owner_id: str, at: datetime) -> int:
    held = select(func.coalesce(func.sum(FileRow.size), 0)).where(FileRow.owner_id == owner_id, FileRow.expires_at > at)
    return int(db.scalar(held) or 0)


def _begin(db: Connection, file: StoredFile, at: datetime, quota: int) -> bool:
    owner_id, info = file.owner_id, file.info
    # The lock keeps uploads of one owner in line, else two at once could both pass the quota.
    alive = select(UserRow.user_id).where(UserRow.user_id == owner_id, UserRow.erased_at.is_(None)).with_for_update()
    if db.scalar(alive) is None:
        return False
    used = _used(db, owner_id, at)
    if used + info.size > quota:
        raise TooLarge(f"your files may come to {quota} bytes; {used} are in use")
    db.execute(
        insert(FileRow).values(
            owner_id=owner_id,
            thumbnail_size=file.thumbnail_size,
            begun_at=at,
            **{column.key: getattr(info, column.key) for column in _INFO},
        )
    )
    return True
