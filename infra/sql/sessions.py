"""Sign-ins in SQL: the adapter of `commands.sessions.SessionStore`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from commands.sessions import ACCESS_LIFE, Session
from commands.users import Account
from infra.sql.database import Database
from infra.sql.tables import ACCOUNT, DeviceRow, SessionRow, UserRow

_SESSION: tuple[Any, ...] = (
    SessionRow.session_id,
    SessionRow.user_id,
    SessionRow.salt,
    SessionRow.generation,
    SessionRow.created_at,
    SessionRow.used_at,
    SessionRow.expires_at,
    SessionRow.request_id,
    SessionRow.client,
)
"""In the order of the fields of `Session`."""
_ENDED: tuple[Any, ...] = (SessionRow.session_id, SessionRow.user_id, SessionRow.ended_at)
_ALIVE = SessionRow.ended_at.is_(None)


class SqlSessions:
    """See the port. Ended sessions keep a bare row while an access token of theirs may live."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, session: Session, account: Account) -> bool:
        def add(db: Connection) -> bool:
            unchanged = db.scalar(
                select(UserRow.user_id)
                .where(UserRow.user_id == account.user_id, UserRow.password_hash == account.password_hash)
                .with_for_update()
            )
            if unchanged is None:
                return False
            at = session.created_at
            db.execute(
                delete(SessionRow).where(
                    SessionRow.user_id == account.user_id,
                    or_(SessionRow.expires_at <= at, SessionRow.ended_at <= at - ACCESS_LIFE),
                )
            )
            db.execute(
                insert(SessionRow).values(
                    session_id=session.session_id,
                    user_id=session.user_id,
                    salt=session.salt,
                    generation=session.generation,
                    created_at=session.created_at,
                    used_at=session.used_at,
                    expires_at=session.expires_at,
                    request_id=session.request_id,
                    client=session.client,
                )
            )
            return True

        return await self._database.write(add)

    async def get(self, session_id: str) -> tuple[Session, Account] | None:
        query = (
            select(*_SESSION, *ACCOUNT)
            .join(UserRow, UserRow.user_id == SessionRow.user_id)
            .where(SessionRow.session_id == session_id, _ALIVE, UserRow.erased_at.is_(None))
        )
        row = await self._database.read(lambda db: db.execute(query).one_or_none())
        if row is None:
            return None
        return Session(*row[: len(_SESSION)]), Account(*row[len(_SESSION) :])

    async def rotate(self, session: Session) -> bool:
        rotation = (
            update(SessionRow)
            .where(
                SessionRow.session_id == session.session_id,
                SessionRow.generation == session.generation - 1,
                _ALIVE,
            )
            .values(
                generation=session.generation,
                used_at=session.used_at,
                expires_at=session.expires_at,
                request_id=session.request_id,
            )
        )
        return await self._database.write(lambda db: db.execute(rotation).rowcount == 1)

    async def end(self, user_id: str, at: datetime, *, only: str | None = None, but: str | None = None) -> list[str]:
        return await self._database.write(lambda db: end_sessions(db, user_id, at, only=only, but=but))

    async def of_user(self, user_id: str, at: datetime, before: str | None, limit: int) -> Sequence[Session]:
        query = (
            select(*_SESSION)
            .where(SessionRow.user_id == user_id, _ALIVE, SessionRow.expires_at > at)
            .order_by(SessionRow.session_id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(SessionRow.session_id < before)
        return await self._database.read(lambda db: [Session(*row) for row in db.execute(query)])

    async def ended_after(self, at: datetime) -> Sequence[tuple[str, str, datetime]]:
        recent = select(*_ENDED).where(SessionRow.ended_at > at).order_by(SessionRow.ended_at)
        return await self._database.read(lambda db: [(row[0], row[1], row[2]) for row in db.execute(recent)])

    async def forget_ended(self, until: datetime) -> None:
        old = delete(SessionRow).where(SessionRow.ended_at <= until)
        await self._database.write(lambda db: db.execute(old))


def end_sessions(
    db: Connection, user_id: str, at: datetime, *, only: str | None = None, but: str | None = None
) -> list[str]:
    """End living sessions of a user within a transaction, and the devices that came with them; the sessions' ids."""
    ending = (
        update(SessionRow)
        .where(SessionRow.user_id == user_id, _ALIVE)
        .values(ended_at=at, salt=b"", request_id=None, client=None)
        .returning(SessionRow.session_id)
    )
    if only is not None:
        ending = ending.where(SessionRow.session_id == only)
    if but is not None:
        ending = ending.where(SessionRow.session_id != but)
    ended = list(db.scalars(ending))
    db.execute(delete(DeviceRow).where(DeviceRow.session_id.in_(ended)))
    return ended
