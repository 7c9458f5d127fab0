"""What the HTTP app is given by the composition root."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe

from prometheus_client import CollectorRegistry

from api.approaches import Approaches
from api.chat_services import ChatServices
from api.demo_pushes import DemoPushes
from api.file_services import FileServices
from api.operations import Operations
from api.past import TimeMachine
from api.ratelimit import RateLimit
from api.security import SecurityEvents
from api.signins import SignIns
from commands.accounts import Accounts
from commands.devices import Devices
from commands.errors import BadCredentials, TidingsError
from commands.sessions import Sessions, Tokens

log = logging.getLogger(__name__)

OPERATIONS_PER_S, OPERATIONS_BURST = 5, 60
REFRESHES_PER_S, REFRESHES_BURST = 20, 2_000
"""For each address: all of a large office come back at once after an outage."""
BURST_S = 10
"""What is used rarely may use up so many seconds' worth at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`logins` are keyed by name and address, `registrations` and `refreshes` by address, the others by user.

    Sockets and HTTP share `sends`, `marks` and `commands`. `commands` are all changes but sends and marks; `queries`
    are about people.
    """

    logins: RateLimit
    registrations: RateLimit
    sends: RateLimit
    uploads: RateLimit
    operations: RateLimit
    marks: RateLimit
    commands: RateLimit
    queries: RateLimit
    approaches: Approaches
    refreshes: RateLimit
    sign_ins: SignIns

    @classmethod
    def make(
        cls,
        clock: Callable[[], float],
        *,
        logins_per_minute: int = 10,
        registrations_per_minute: int = 100,
        sends_per_second: int = 100,
        sends_burst: int = 1000,
        uploads_per_minute: int = 60,
        marks_per_second: int = 200,
        commands_per_second: int = 10,
        commands_burst: int = 100,
        queries_per_second: int = 20,
        chats_per_hour: int = 100,
        approaches_per_hour: int = 200,
        failed_logins_per_minute: int = 60,
        failed_logins_per_hour: int = 100,
    ) -> Limits:
        return cls(
            RateLimit("logins", logins_per_minute / 60, logins_per_minute, clock),
            RateLimit("registrations", registrations_per_minute / 60, registrations_per_minute, clock),
            RateLimit("sends", sends_per_second, sends_burst, clock),
            RateLimit("uploads", uploads_per_minute / 60, uploads_per_minute, clock),
            RateLimit("operations", OPERATIONS_PER_S, OPERATIONS_BURST, clock),
            RateLimit("marks", marks_per_second, marks_per_second * BURST_S, clock),
            RateLimit("commands", commands_per_second, commands_burst, clock),
            RateLimit("queries", queries_per_second, queries_per_second * BURST_S, clock),
            Approaches(clock, chats_per_hour=chats_per_hour, approaches_per_hour=approaches_per_hour),
            RateLimit("refreshes", REFRESHES_PER_S, REFRESHES_BURST, clock),
            SignIns(clock, failed_logins_per_minute, failed_logins_per_hour),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a dependency was when last asked."""

    up: bool
    since: datetime
    """When it was first found so."""


class Health:
    """What is up. Each check returns if its part answers and raises otherwise; `essential` ones gate readiness."""

    def __init__(
        self,
        checks: Mapping[str, Callable[[], Awaitable[None]]],
        essential: frozenset[str] = frozenset({"log"}),
        patience_s: float = 2.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._checks = checks
        self._essential = essential
        self._patience_s = patience_s
        self._now = now
        self.draining = False
        self.standings: dict[str, Standing] = {}
        """Name → how it was when last asked; empty before the first time."""

    async def degraded(self) -> list[str]:
        """Names of the parts that do not answer, sorted."""
        names = sorted(self._checks)
        answers = await asyncio.gather(*(self._answers(name) for name in names))
        return [name for name, up in zip(names, answers, strict=True) if not up]

    def is_ready(self, degraded: Sequence[str]) -> bool:
        """Whether new clients may be sent here, given what is down."""
        return not self.draining and self._essential.isdisjoint(degraded)

    async def _answers(self, name: str) -> bool:
        problem = ""
        try:
            await asyncio.wait_for(self._checks[name](), self._patience_s)
        except (TidingsError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
        before = self.standings.get(name)
        if before is None or before.up is bool(problem):
            self.standings[name] = Standing(not problem, self._now())
            if problem:
                log.warning("%s does not answer: %s", name, problem)
            elif before is not None:
                log.warning("%s answers again", name)
        return not problem


class DemoCodes:
    """Codes that sign a demo user in, once each and not for long. They travel in a URL's fragment."""

    LIFE = timedelta(minutes=10)

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._codes: dict[str, tuple[str, datetime]] = {}

    def make(self, user_id: str) -> str:
        code = token_urlsafe(24)
        self._codes[code] = (user_id, self._now() + self.LIFE)
        return code

    def redeem(self, code: str) -> str:
        """The user; the code is used up. Raises BadCredentials."""
        user_id, until = self._codes.pop(code, ("", self._now()))
        if until <= self._now():
            raise BadCredentials("this code was used before, or has run out")
        return user_id


@dataclass(slots=True, kw_only=True)
class Services:
    """Everything that routes use. `info` is shown by `GET /v1/info`: version, features and limits."""

    now: Callable[[], datetime]
    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    limits: Limits
    health: Health
    version: str
    features: Sequence[str] = ()
    public_limits: Mapping[str, int] = field(default_factory=dict)
    cors_origins: Sequence[str] = ()
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    chats: ChatServices | None = None
    """Present where the routes of chats are."""
    devices: Devices | None = None
    """Present where the routes of devices are."""
    files: FileServices | None = None
    """Present where the routes of files are."""
    time_machine: TimeMachine | None = None
    """Present where chats can be seen as they were."""
    operations: Operations | None = None
    """Present where the routes of operators are."""
    demo: DemoCodes | None = None
    """Present where demo users may sign in by code."""
    security: SecurityEvents = field(default_factory=SecurityEvents)
    demo_pushes: DemoPushes = field(default_factory=DemoPushes)
    """Filled, and to be asked for, in a demo only."""
