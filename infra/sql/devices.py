"""Devices in SQL: the adapter of `commands.devices.DeviceStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, and_, delete, insert, or_, select, tuple_

from commands.devices import MAX_DEVICES, Addressee, Device
from infra.sql.database import Database
from infra.sql.tables import DeviceRow, MuteRow, SessionRow, UserRow

_DEVICE: tuple[Any, ...] = (
    DeviceRow.user_id,
    DeviceRow.device_id,
    DeviceRow.platform,
    DeviceRow.token,
    DeviceRow.session_id,
    DeviceRow.updated_at,
    DeviceRow.locale,
    DeviceRow.environment,
)
"""In the order of the fields of `Device`."""
_AT_ONCE = 500

T = TypeVar("T")


class SqlDevices:
    """See the port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, device: Device) -> bool:
        return await self._database.write(lambda db: _put(db, device))

    async def of_user(self, user_id: str) -> Sequence[Device]:
        query = select(*_DEVICE).where(DeviceRow.user_id == user_id).order_by(DeviceRow.updated_at, DeviceRow.device_id)
        return await self._database.read(lambda db: [Device(*row) for row in db.execute(query)])

    async def named(self, device_id: str) -> Sequence[Device]:
        """Of all users: for operators. Raises Unavailable."""
        query = select(*_DEVICE).where(DeviceRow.device_id == device_id)
        return await self._database.read(lambda db: [Device(*row) for row in db.execute(query)])

    async def remove(self, user_id: str, device_id: str) -> bool:
        removal = delete(DeviceRow).where(DeviceRow.user_id == user_id, DeviceRow.device_id == device_id)
        return await self._database.write(lambda db: db.execute(removal).rowcount == 1)

    async def remove_token(self, device: Device) -> bool:
        removal = delete(DeviceRow).where(
            DeviceRow.user_id == device.user_id,
            DeviceRow.device_id == device.device_id,
            DeviceRow.token_hash == _hash(device),
            DeviceRow.updated_at == device.updated_at,
        )
        return await self._database.write(lambda db: db.execute(removal).rowcount == 1)

    async def addressees(self, user_ids: Collection[str], at: datetime) -> Sequence[Addressee]:
        query = (
            select(UserRow.push_preview, UserRow.locale, *_DEVICE)
            .join(UserRow, UserRow.user_id == DeviceRow.user_id)
            .join(SessionRow, SessionRow.session_id == DeviceRow.session_id)
            .where(SessionRow.ended_at.is_(None), SessionRow.expires_at > at)
        )

        def find(db: Connection) -> list[Addressee]:
            found = []
            for some in _chunks(user_ids):
                for preview, locale, *columns in db.execute(query.where(DeviceRow.user_id.in_(some))):
                    device = Device(*columns)
                    found.append(Addressee(device, preview, device.locale or locale))
            return found

        return await self._database.read(find)

    async def muted(self, pairs: Collection[tuple[str, str]], at: datetime) -> set[tuple[str, str]]:
        query = select(MuteRow.chat_id, MuteRow.user_id).where(MuteRow.until > at)

        def find(db: Connection) -> set[tuple[str, str]]:
            return {
                (row[0], row[1])
                for some in _chunks(pairs)
                for row in db.execute(query.where(tuple_(MuteRow.chat_id, MuteRow.user_id).in_(some)))
            }

        return await self._database.read(find)

    async def any(self) -> bool:
        return await self._database.read(lambda db: db.scalar(select(DeviceRow.device_id).limit(1)) is not None)


def _put(db: Connection, device: Device) -> bool:
    alive = select(SessionRow.session_id).where(
        SessionRow.session_id == device.session_id,
        SessionRow.user_id == device.user_id,
        SessionRow.ended_at.is_(None),
    )
    # Locked, so that a sign-out at the same moment either sees the device or comes first.
    if db.scalar(alive.with_for_update()) is None:
        return False
    own = and_(DeviceRow.user_id == device.user_id, DeviceRow.device_id == device.device_id)
    db.execute(delete(DeviceRow).where(or_(own, DeviceRow.token_hash == _hash(device))))
    db.execute(
        insert(DeviceRow).values(
            user_id=device.user_id,
            device_id=device.device_id,
            platform=device.platform,
            token=device.token,
            token_hash=_hash(device),
            session_id=device.session_id,
            updated_at=device.updated_at,
            locale=device.locale,
            environment=device.environment,
        )
    )
    newest = (
        select(DeviceRow.device_id)
        .where(DeviceRow.user_id == device.user_id)
        .order_by(DeviceRow.updated_at.desc(), DeviceRow.device_id)
        .offset(MAX_DEVICES)
    )
    over = list(db.scalars(newest))
    if over:
        db.execute(delete(DeviceRow).where(DeviceRow.user_id == device.user_id, DeviceRow.device_id.in_(over)))
    return True


def _hash(device: Device) -> bytes:
    return sha256(f"{device.platform}\0{device.token}".encode()).digest()


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
