"""Shapes at the HTTP edge: the bases of requests and answers, and those of accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.render import rfc3339
from api.services import Health
from api.times import at_us, parse_us
from commands.lines import MAX_DISPLAY_NAME, line_fault
from commands.sessions import Session, SignedIn
from commands.users import (
    LOCALE,
    MAX_LOCALE,
    MAX_PASSWORD,
    MIN_PASSWORD,
    USERNAME,
    Account,
    User,
)
from events.ids import unix_us

MAX_PAGE = 200
NO_NUL = r"^[^\x00]*$"

T = TypeVar("T")


class Body(BaseModel):
    """The base of every request body: unknown fields are refused, numbers are not text, `ext` is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ext: dict[str, Any] | None = Field(default=None, description="For the client's own use; ignored.")


class Answer(BaseModel):
    """The base of answers. Clients ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True)


def _micros(value: object) -> int:
    if isinstance(value, str):
        try:
            return parse_us(value)
        except ValueError:
            pass
    raise PydanticCustomError("time", "Input should be a time after RFC 3339, such as 2026-03-01T12:00:00.000Z")


def _line(value: str) -> str:
    fault = line_fault(value)
    if fault is not None:
        raise PydanticCustomError("line", "Input should have {fault}", {"fault": fault})
    return value


_TIME = WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
Time = Annotated[datetime, BeforeValidator(lambda value: at_us(_micros(value))), _TIME]
"""A time as RFC 3339 text; aware, in UTC."""
Micros = Annotated[int, BeforeValidator(_micros), _TIME]
"""A time as RFC 3339 text; microseconds since 1970."""
ShownTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 in UTC with milliseconds."""
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Username = Annotated[str, Field(pattern=USERNAME, examples=["ana"])]
Line = AfterValidator(_line)
LINE = (
    "One line of which something is seen, kept as typed: no control characters, no line breaks, no characters that "
    "turn the direction of reading (U+202A to U+202E, U+2066 to U+2069)."
)
DisplayName = Annotated[str, Field(min_length=1, max_length=MAX_DISPLAY_NAME, description=LINE, examples=["Ana"]), Line]
Password = Annotated[str, Field(max_length=MAX_PASSWORD, pattern=NO_NUL)]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD, pattern=NO_NUL)]
Locale = Annotated[str, Field(max_length=MAX_LOCALE, pattern=LOCALE, examples=["pt-BR"])]
RefreshToken = Annotated[str, Field(max_length=400, pattern=NO_NUL)]


class ProblemField(Answer):
    field: str
    message: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemField] | None = None
    retry_after_ms: int | None = None
    server_time: ShownTime | None = None


class Page(Answer, Generic[T]):
    """A part of a list; `next_cursor` leads to the next part, null at the end."""

    items: list[T]
    next_cursor: str | None


class Register(Body):
    username: Username
    password: NewPassword
    display_name: DisplayName | None = None


class Login(Body):
    username: Annotated[str, Field(max_length=256, pattern=NO_NUL)]
    password: Password


class Refresh(Body):
    refresh_token: RefreshToken
    request_id: Annotated[str, Field(min_length=1, max_length=128, pattern=NO_NUL)] | None = Field(
        default=None, description="Repeating a refresh under the same id within 60 s gives the same answer."
    )


class Logout(Body):
    refresh_token: RefreshToken


class DemoLogin(Body):
    code: Annotated[str, Field(max_length=200, pattern=NO_NUL)]


class ChangePassword(Body):
    old: Password
    new: NewPassword


class EraseMe(Body):
    password: Password


class ProfilePatch(Body):
    """What is absent stays as it is; `locale` may be null."""

    # The factories only keep the fields optional without allowing null: what they give is never looked at.
    display_name: DisplayName = Field(default_factory=str)
    push_preview: bool = Field(default_factory=bool)
    locale: Locale | None = None


class UsersQuery(Body):
    user_ids: Annotated[list[str], Field(max_length=MAX_PAGE)]


class UserAnswer(Answer):
    user_id: str
    username: str
    display_name: str

    @classmethod
    def of(cls, user: User) -> UserAnswer:
        return cls(user_id=user.user_id, username=user.username, display_name=user.display_name)


class MeAnswer(UserAnswer):
    push_preview: bool
    locale: str | None
    admin: bool

    @classmethod
    def of_account(cls, account: Account) -> MeAnswer:
        return cls(
            user_id=account.user_id,
            username=account.username,
            display_name=account.display_name,
            push_preview=account.push_preview,
            locale=account.locale,
            admin=account.admin,
        )


class TokensAnswer(Answer):
    """`expires_in`: seconds that the access token lives; the refresh token lives 30 days from its last use."""

    user: UserAnswer
    access_token: str
    refresh_token: str
    expires_in: int

    @classmethod
    def of(cls, signed_in: SignedIn) -> TokensAnswer:
        return cls(
            user=UserAnswer.of(signed_in.user),
            access_token=signed_in.access_token,
            refresh_token=signed_in.refresh_token,
            expires_in=signed_in.expires_in,
        )


class SessionAnswer(Answer):
    """One sign-in. `client` is what the client said it is; `current` marks the one that asks."""

    session_id: str
    created_at: ShownTime
    last_used_at: ShownTime
    expires_at: ShownTime
    client: str | None
    current: bool

    @classmethod
    def of(cls, session: Session, current_id: str) -> SessionAnswer:
        return cls(
            session_id=session.session_id,
            created_at=shown(session.created_at),
            last_used_at=shown(session.used_at),
            expires_at=shown(session.expires_at),
            client=session.client,
            current=session.session_id == current_id,
        )


class InfoAnswer(Answer):
    version: str
    features: list[str]
    limits: dict[str, int]
    server_time: ShownTime


class HealthAnswer(Answer):
    status: Literal["ok"]


class DependencyAnswer(Answer):
    name: str
    up: bool
    since: str = Field(description="When it was first found so.")

    @classmethod
    def all_of(cls, health: Health) -> list[DependencyAnswer]:
        """As of the last time that they were asked."""
        return [cls(name=name, up=each.up, since=shown(each.since)) for name, each in sorted(health.standings.items())]


class ReadyAnswer(Answer):
    degraded: list[str] = Field(description="Parts that do not answer; the rest works.")
    dependencies: list[DependencyAnswer] = Field(description="All parts that were asked.")

    @classmethod
    def of(cls, health: Health) -> ReadyAnswer:
        """As of the last time that the parts were asked."""
        told = DependencyAnswer.all_of(health)
        return cls(degraded=[each.name for each in told if not each.up], dependencies=told)


def shown(moment: datetime) -> str:
    """An aware time as answers show it."""
    return rfc3339(unix_us(moment))
