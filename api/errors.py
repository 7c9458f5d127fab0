"""The one table from errors to what clients see: RFC 9457 problem documents and the fields of `error` frames.

A class without a row of its own has the row of the nearest branch above it. The root has none to inherit: a
branch must be entered here before anything may raise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from api.render import rfc3339
from commands.errors import (
    BadCredentials,
    BadJson,
    Conflict,
    Corrupt,
    Forbidden,
    Gone,
    IdFromFuture,
    Invalid,
    NotFound,
    RateLimited,
    TidingsError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownField,
    leaves,
)
from events.ids import unix_us

PROBLEM_TYPE = "application/problem+json"


class NoSuchPath(NotFound):
    """No route has this path."""


class MethodNotAllowed(TidingsError):
    """The path is there, but not for this method; the answer names those in `Allow`."""

    code = "method_not_allowed"


class UnsupportedMediaType(BadJson):
    """The body does not say that it is what the path takes: JSON, or multipart/form-data."""


class OutOfRange(TidingsError):
    """The range that was asked for lies behind the file's end."""

    code = "out_of_range"

    def __init__(self, size: int = 0) -> None:
        super().__init__(f"the file has {size} bytes")
        self.size = size


class Throttled(RateLimited):
    """A RateLimited that knows its limit: `headers` are those of the IETF draft on RateLimit fields."""

    def __init__(self, detail: str, retry_after_ms: int, headers: Mapping[str, str]) -> None:
        super().__init__(detail, retry_after_ms=retry_after_ms)
        self.headers = headers

    @property
    def limit(self) -> str:
        """The name of the limit, as its headers tell it."""
        return self.headers.get("RateLimit", "").partition(";")[0].strip('"')


@dataclass(frozen=True, slots=True)
class Row:
    status: int
    title: str


INTERNAL = Row(500, "Something went wrong on our side")

TABLE: dict[type[TidingsError], Row] = {
    BadJson: Row(400, "The body cannot be read"),
    UnsupportedMediaType: Row(415, "The body is not marked as what this path takes"),
    Unauthenticated: Row(401, "The access token is missing, wrong or out of date"),
    BadCredentials: Row(401, "Username or password is wrong"),
    Forbidden: Row(403, "Your role does not allow this"),
    NotFound: Row(404, "There is no such thing here"),
    MethodNotAllowed: Row(405, "This path does not take this method"),
    Conflict: Row(409, "This does not fit with what is there"),
    Gone: Row(410, "This is not kept any longer"),
    TooLarge: Row(413, "This is too large"),
    OutOfRange: Row(416, "The file has no such bytes"),
    Invalid: Row(422, "The request is not valid"),
    UnknownField: Row(422, "The request has a field that is not known"),
    IdFromFuture: Row(422, "The id is of a time that has not come yet"),
    RateLimited: Row(429, "Too many requests"),
    Corrupt: INTERNAL,
    Unavailable: Row(503, "Not available right now"),
}


def row_of(kind: type[TidingsError]) -> Row | None:
    """The row of a class: its own, or that of the nearest branch above it."""
    return next((TABLE[above] for above in kind.__mro__ if above in TABLE), None)


def status_of(error: TidingsError) -> int:
    return (row_of(type(error)) or INTERNAL).status


def error_fields(error: TidingsError, now: datetime) -> dict[str, Any]:
    """What an `error` frame says besides `type` and `reply_to`: code, message and, where they apply,
    `retry_after_ms` and `server_time`."""
    row = row_of(type(error)) or INTERNAL
    hidden = row.status == INTERNAL.status
    fields: dict[str, Any] = {
        "code": TidingsError.code if hidden else error.code,
        "message": row.title if hidden or error.for_operators else error.detail or row.title,
    }
    if error.retry_after_ms is not None:
        fields["retry_after_ms"] = error.retry_after_ms
    if isinstance(error, IdFromFuture):
        fields["server_time"] = rfc3339(unix_us(now))
    return fields


def problem(error: TidingsError, now: datetime) -> dict[str, Any]:
    """The problem document. Of an error on our side it tells nothing but that."""
    row = row_of(type(error)) or INTERNAL
    fields = error_fields(error, now)
    code = fields.pop("code")
    document = {
        "type": f"/problems/{code}",
        "title": row.title,
        "status": row.status,
        "code": code,
        "detail": fields.pop("message"),
    }
    if error.errors and row is not INTERNAL:
        document["errors"] = [{"field": each.field, "message": each.message} for each in error.errors]
    return document | fields


def problem_headers(error: TidingsError) -> dict[str, str]:
    """Headers that belong to a problem: when to come back, how to authenticate."""
    headers: dict[str, str] = {}
    if isinstance(error, Throttled):
        headers.update(error.headers)
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if isinstance(error, OutOfRange):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, Unauthenticated):
        wrong_token = not isinstance(error, BadCredentials) and error.detail
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if wrong_token else "Bearer"
    return headers


def problem_body(error: TidingsError, now: datetime) -> bytes:
    return msgspec.json.encode(problem(error, now))


def every_problem() -> dict[str, Row]:
    """Code → row, by status: all that clients may meet. Of classes with one code, the highest in the tree tells."""
    found: dict[str, Row] = {}
    for kind in leaves():
        found.setdefault(kind.code, row_of(kind) or INTERNAL)
    return dict(sorted(found.items(), key=lambda item: (item[1].status, item[0])))
