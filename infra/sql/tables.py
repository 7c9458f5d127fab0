"""The tables of accounts, in types that SQLite and PostgreSQL share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, MetaData, String, Text, false, true
from sqlalchemy.dialects.postgresql import VARCHAR
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

ID = String(36)


class Instant(TypeDecorator[datetime]):
    """An aware UTC time. SQLite forgets the zone, so it is given back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def searchable(length: int) -> String:
    """Text that sorts by code point everywhere, so a prefix is a range."""
    return String(length).with_variant(VARCHAR(length, collation="C"), "postgresql")


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UserRow(Table):
    """An erased user keeps the row, for the id stands in the log, without anything personal in it.

    The username of an erased user stays reserved, else somebody could take the place of a person in the eyes
    of those who knew them; what is kept of it, `name_mac`, only recognises it.
    """

    __tablename__ = "users"
    __table_args__ = (Index("ix_users_display_key", "display_key", "user_id"),)

    user_id: Mapped[str] = mapped_column(ID, primary_key=True)
    name_mac: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    username: Mapped[str | None] = mapped_column(searchable(32), unique=True)
    display_name: Mapped[str | None] = mapped_column(String(64))
    display_key: Mapped[str | None] = mapped_column(searchable(64))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    push_preview: Mapped[bool] = mapped_column(server_default=true())
    locale: Mapped[str | None] = mapped_column(String(35))
    admin: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = mapped_column(Instant)
    erased_at: Mapped[datetime | None] = mapped_column(Instant)
    leaving: Mapped[bool] = mapped_column(server_default=false())
    """Erased, and perhaps still in chats."""


class DataKeyRow(Table):
    """A sealing key under the master key. Destroying it overwrites `wrapped` and keeps the row, so that backups
    can be told which keys must not come back."""

    __tablename__ = "data_keys"

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.user_id"), primary_key=True)
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary(61))
    created_at: Mapped[datetime] = mapped_column(Instant)
    destroyed_at: Mapped[datetime | None] = mapped_column(Instant, index=True)


class SessionRow(Table):
    __tablename__ = "sessions"

    session_id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.user_id"), index=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))
    generation: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Instant)
    used_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime] = mapped_column(Instant)
    request_id: Mapped[str | None] = mapped_column(String(128))
    client: Mapped[str | None] = mapped_column(String(200))
    ended_at: Mapped[datetime | None] = mapped_column(Instant, index=True)


class MuteRow(Table):
    __tablename__ = "mutes"

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.user_id"), primary_key=True)
    chat_id: Mapped[str] = mapped_column(ID, primary_key=True)
    until: Mapped[datetime] = mapped_column(Instant)


class DeviceRow(Table):
    """A device goes with its sign-in. A token is of one device at a time, so its hash is unique: tokens are too long
    for an index."""

    __tablename__ = "devices"

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.user_id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    platform: Mapped[str] = mapped_column(String(8))
    token: Mapped[str] = mapped_column(String(4096))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    session_id: Mapped[str] = mapped_column(ID, ForeignKey("sessions.session_id", ondelete="CASCADE"), index=True)
    updated_at: Mapped[datetime] = mapped_column(Instant)
    locale: Mapped[str | None] = mapped_column(String(35))
    environment: Mapped[str] = mapped_column(String(10))


class RevealRow(Table):
    """Somebody had sealed bodies opened at the command line: `who` on which machine, by which command."""

    __tablename__ = "reveals"

    reveal_id: Mapped[str] = mapped_column(ID, primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)
    who: Mapped[str] = mapped_column(String(200))
    what: Mapped[str] = mapped_column(Text)


class FileRow(Table):
    """A file whose bytes lie in object storage; `ready` once all of them do."""

    __tablename__ = "files"

    file_id: Mapped[str] = mapped_column(ID, primary_key=True)
    owner_id: Mapped[str] = mapped_column(ID, ForeignKey("users.user_id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    content_type: Mapped[str] = mapped_column(String(127))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    width: Mapped[int | None]
    height: Mapped[int | None]
    thumbnail_size: Mapped[int | None]
    begun_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime] = mapped_column(Instant, index=True)
    ready: Mapped[bool] = mapped_column(server_default=false())


class InstallationRow(Table):
    """Facts about the database itself: `master_key` is the fingerprint of the key that it was made with, `oldest_code`
    the oldest revision whose code works with it (`infra.sql.migrate`)."""

    __tablename__ = "installation"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary(64))


ACCOUNT: tuple[Any, ...] = (
    UserRow.user_id,
    UserRow.username,
    UserRow.display_name,
    UserRow.password_hash,
    UserRow.created_at,
    UserRow.push_preview,
    UserRow.locale,
    UserRow.admin,
)
"""In the order of the fields of `Account`."""
