"""Who uses Tidings: the values, and what a name, a password and a language tag look like."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from commands.errors import FieldError, Invalid
from commands.lines import MAX_DISPLAY_NAME, check_line

USERNAME = r"^[A-Za-z0-9_.-]{3,32}$"
"""As typed; kept in lower case."""
_USERNAME = re.compile(USERNAME.removesuffix("$"))
"""`$` would let a line feed follow."""
MIN_PASSWORD = 8
MAX_PASSWORD = 256
LOCALE = r"^[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*$"
"""A language tag such as `de` or `pt-BR`."""
MAX_LOCALE = 35
_LOCALE = re.compile(LOCALE.removesuffix("$"))


@dataclass(frozen=True, slots=True)
class User:
    """What everybody may see of a user."""

    user_id: str
    username: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Account:
    """A user with what only the user and the server see."""

    user_id: str
    username: str
    display_name: str
    password_hash: str
    created_at: datetime
    push_preview: bool = True
    """Whether push notifications may show the text."""
    locale: str | None = None
    admin: bool = False

    @property
    def user(self) -> User:
        return User(self.user_id, self.username, self.display_name)


class ProfileChanges(TypedDict, total=False):
    """What a user may change; an absent key stays as it is."""

    display_name: str
    push_preview: bool
    locale: str | None


def clean_username(typed: str) -> str:
    """The name in lower case. Raises Invalid."""
    if _USERNAME.fullmatch(typed) is None:
        raise _refused("username", "3 to 32 of a-z, 0-9, '_', '.' and '-'")
    return typed.lower()


def check_password(password: str, field: str = "password") -> None:
    """Raises Invalid."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise _refused(field, f"{MIN_PASSWORD} to {MAX_PASSWORD} characters")


def check_profile(changes: ProfileChanges) -> None:
    """Raises Invalid."""
    name = changes.get("display_name")
    if name is not None:
        check_line("display_name", name, MAX_DISPLAY_NAME)
    locale = changes.get("locale")
    if locale is not None and not (len(locale) <= MAX_LOCALE and _LOCALE.fullmatch(locale)):
        raise _refused("locale", "a language tag such as pt-BR")


def search_key(text: str) -> str:
    """Text as searches compare it: without regard to case and to compatible spellings."""
    return unicodedata.normalize("NFKC", text).casefold()


def _refused(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=(FieldError(field, message),))
