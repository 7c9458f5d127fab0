"""Sealing keys in SQL, wrapped under the master key: the adapter of `commands.sealing.Keys`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from infra.master_key import MasterKey
from infra.sql.database import Database
from infra.sql.tables import DataKeyRow


class SqlKeys:
    """See the port. A backup takes `destroyed` along; a restore hands it to `destroy_again`, which revives none."""

    def __init__(self, database: Database, master_key: MasterKey) -> None:
        self._database = database
        self._master_key = master_key

    async def load(self, author_ids: Collection[str]) -> Mapping[str, bytes | None]:
        if not author_ids:
            return {}
        query = select(DataKeyRow.user_id, DataKeyRow.wrapped).where(DataKeyRow.user_id.in_(set(author_ids)))
        rows = await self._database.read(lambda db: db.execute(query).all())
        return {
            user_id: None if wrapped is None else self._master_key.unwrap(user_id, wrapped) for user_id, wrapped in rows
        }

    async def destroyed(self, after: datetime | None = None) -> Sequence[tuple[str, datetime]]:
        """User id and time of every key ever destroyed, or destroyed after a time, oldest first. Raises Unavailable."""
        what: tuple[Any, ...] = (DataKeyRow.user_id, DataKeyRow.destroyed_at)
        query = select(*what).where(DataKeyRow.destroyed_at.is_not(None)).order_by(DataKeyRow.destroyed_at)
        if after is not None:
            query = query.where(DataKeyRow.destroyed_at > after)
        return await self._database.read(lambda db: [(row[0], row[1]) for row in db.execute(query)])

    async def destroy_again(self, destroyed: Sequence[tuple[str, datetime]]) -> None:
        """After a restore: destroy what had been destroyed since the backup was made. Raises Unavailable."""

        def destroy_all(db: Connection) -> None:
            for user_id, at in destroyed:
                destroy_key(db, user_id, at)

        await self._database.write(destroy_all)
        await self._database.scrub()


def destroy_key(db: Connection, user_id: str, at: datetime) -> None:
    """Overwrite a key within a transaction. The first time counts."""
    db.execute(
        update(DataKeyRow)
        .where(DataKeyRow.user_id == user_id, DataKeyRow.destroyed_at.is_(None))
        .values(wrapped=None, destroyed_at=at)
    )
