"""Every error that Tidings raises on purpose, as one small tree.

A branch says what kind of trouble it is, a leaf carries the code of the client contract. The tree knows
neither HTTP status nor close codes: `api/errors.py` maps it, and a test fails on a leaf without a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused: a dotted path and a sentence."""

    field: str
    message: str


class TidingsError(Exception):
    """The root. `detail` is a sentence for the person who reads it, never a secret."""

    code: ClassVar[str] = "internal"
    for_operators: ClassVar[bool] = False
    """Whether the detail names what only operators may know, such as files: clients are told the title instead."""

    def __init__(
        self,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.errors = errors
        self.retry_after_ms = retry_after_ms


class Invalid(TidingsError):
    code = "invalid"


class Unauthenticated(TidingsError):
    code = "bad_token"


class Forbidden(TidingsError):
    code = "forbidden"


class NotFound(TidingsError):
    code = "not_found"


class Conflict(TidingsError):
    code = "conflict"


class TooLarge(TidingsError):
    code = "too_large"


class RateLimited(TidingsError):
    code = "rate_limited"


class Gone(TidingsError):
    code = "expired"


class Unavailable(TidingsError):
    """The outcome is unknown: repeat with the same id."""

    code = "unavailable"


class Corrupt(TidingsError):
    """Something stored is not what was written: a body that fails its seal, a key of another master key."""


class BadJson(Invalid):
    code = "bad_json"


class UnknownField(Invalid):
    code = "unknown_field"


class BadCursor(Invalid):
    code = "bad_cursor"


class BadReply(Invalid):
    code = "bad_reply"


class IdFromFuture(Invalid):
    code = "id_from_future"


class BadCredentials(Unauthenticated):
    code = "bad_credentials"


class BadToken(Unauthenticated):
    code = "bad_token"


class TokenReused(BadToken):
    """A refresh token came a second time: somebody has a copy."""


class NoSuchChat(NotFound):
    code = "no_such_chat"


class NoSuchUser(NotFound):
    code = "no_such_user"


class NoSuchMessage(NotFound):
    code = "no_such_message"


class NoSuchFile(NotFound):
    code = "no_such_file"


class UsernameTaken(Conflict):
    code = "username_taken"


class ChatIdTaken(Conflict):
    code = "chat_id_taken"


class IdTaken(Conflict):
    code = "id_taken"


class DirectChat(Conflict):
    code = "direct_chat"


class GroupFull(Conflict):
    code = "group_full"


class BeyondHead(Conflict):
    code = "beyond_head"


class NotYet(Unavailable):
    """The views do not have the awaited position yet."""

    code = "not_yet"


def leaves(root: type[TidingsError] = TidingsError) -> list[type[TidingsError]]:
    """Every class of the tree, the root first."""
    found = [root]
    for child in root.__subclasses__():
        found += leaves(child)
    return found


def error_for(code: str, detail: str = "") -> TidingsError:
    """The error that stands for `code`, as the fold stores refusals by code alone.

    Raises KeyError for a code that no class carries.
    """
    return _BY_CODE[code](detail)


_BY_CODE = {kind.code: kind for kind in leaves()}
