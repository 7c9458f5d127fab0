"""Apple's push service: see `streams.push.ports.Provider`.

Source: Apple, "Sending notification requests to APNs" and "Establishing a token-based connection to APNs".
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from commands.devices import Environment
from commands.errors import Invalid
from infra.push.frames import Fields
from infra.push.http2 import Answer, Broken, Http2Line, NotSent
from infra.push.retry_after import seconds
from streams.push.ports import Outcome, Push

logger = logging.getLogger(__name__)

URLS: Mapping[Environment, str] = {
    "production": "https://api.push.apple.com",
    "sandbox": "https://api.sandbox.push.apple.com",
}
MAX_PAYLOAD = 4_096
RENEW_AFTER = timedelta(minutes=40)
"""Apple refuses tokens older than an hour, and new ones more often than every 20 minutes."""
ANSWER_S = 10.0
TRIES = 3
"""For requests that the server never looked at, because it closed the connection."""
UNSENT = Outcome(
    "busy", f"the service did not look at it in {TRIES} tries: if it finds our tokens old, is the clock right?"
)
_DEAD = frozenset(("BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken"))


@dataclass(frozen=True, slots=True)
class ApnsKey:
    """What a developer account gives. `topic`: the app's bundle id."""

    private_key: EllipticCurvePrivateKey
    key_id: str
    team_id: str
    topic: str

    @staticmethod
    def read(path: Path, key_id: str, team_id: str, topic: str) -> ApnsKey:
        """Raises Invalid for a file that is no `.p8` key."""
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise Invalid(f"{path} is no private key as Apple gives it (.p8): {error}") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise Invalid(f"{path} is no key for ES256")
        return ApnsKey(key, key_id, team_id, topic)


class ProviderToken:
    """The token that every request carries, made anew before Apple finds it old."""

    def __init__(self, key: ApnsKey, now: Callable[[], datetime]) -> None:
        self._key = key
        self._now = now
        self._made_at = datetime.fromtimestamp(0, UTC)
        self._text = ""

    @property
    def text(self) -> str:
        now = self._now()
        if now - self._made_at > RENEW_AFTER:
            claims = {"iss": self._key.team_id, "iat": int(now.timestamp())}
            self._text = jwt.encode(claims, self._key.private_key, "ES256", headers={"kid": self._key.key_id})
            self._made_at = now
        return self._text

    def renew(self, refused: str) -> None:
        """The service finds this one too old, whatever our clock says."""
        if refused == self._text:
            self._made_at = datetime.fromtimestamp(0, UTC)


class Apns:
    """One connection for each of the two services, opened when it is needed."""

    def __init__(
        self,
        key: ApnsKey,
        now: Callable[[], datetime],
        *,
        url: str | None = None,
        tls: ssl.SSLContext | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        """`url`: instead of Apple's two services. `tls`: whom to believe."""
        self._key = key
        self._now = now
        self._token = ProviderToken(key, now)
        self._urls = {name: url or apples for name, apples in URLS.items()}
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["h2"])
        self._answer_s = answer_s
        self._lines: dict[str, Http2Line] = {}
        self._opening = asyncio.Lock()

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        bodies, outcomes = [], dict[int, Outcome]()
        for index, push in enumerate(pushes):
            try:
                body = payload(push)
            except Exception as error:
                logger.exception("a push cannot be written down: device %s", push.device.device_id)
                body, outcomes[index] = b"", Outcome("refused", f"it cannot be written down: {error!r}")
            bodies.append(body)
            if len(body) > MAX_PAYLOAD:
                outcomes[index] = Outcome("refused", f"the payload has {len(body)} bytes")
        left = [index for index in range(len(pushes)) if index not in outcomes]
        for _ in range(TRIES):
            unsent: list[int] = []
            for environment in {pushes[index].device.environment for index in left}:
                some = [index for index in left if pushes[index].device.environment == environment]
                for index, outcome in zip(some, await self._try(environment, pushes, bodies, some), strict=True):
                    outcomes[index] = outcome or UNSENT
                    if outcome is None:
                        unsent.append(index)
            left = unsent
        return [outcomes[index] for index in range(len(pushes))]

    async def close(self) -> None:
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    async def _try(
        self, environment: Environment, pushes: Sequence[Push], bodies: Sequence[bytes], some: Sequence[int]
    ) -> list[Outcome | None]:
        """Send some of them. None for what the service did not look at."""
        try:
            line = await self._line(self._urls[environment])
        except Broken as error:
            return [Outcome("busy", str(error))] * len(some)
        token = self._token.text
        shared = self._shared(token)
        answers = [self._posted(line, pushes[index], shared, bodies[index]) for index in some]
        try:
            await asyncio.wait(answers)
        finally:
            for answer in answers:
                answer.cancel()
        return [self._outcome(answer, token) for answer in answers]

    @staticmethod
    def _posted(line: Http2Line, push: Push, shared: Fields, body: bytes) -> asyncio.Future[Answer]:
        """What cannot even be asked fails like an answer: the others are asked all the same."""
        try:
            return line.post(f"/3/device/{push.device.token}", shared, _own(push), body)
        except Exception as error:
            failed: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _outcome(self, answer: asyncio.Future[Answer], token: str) -> Outcome | None:
        error = answer.exception()
        if isinstance(error, NotSent):
            return None
        if isinstance(error, Broken):
            return Outcome("busy", str(error))
        if error is not None:
            logger.error("a push cannot be sent: %r", error)
            return Outcome("refused", f"it cannot be sent: {error!r}")
        result = answer.result()
        if result.status == 403 and _said(result).get("reason") == "ExpiredProviderToken":
            self._token.renew(token)
            return None
        return outcome(result, self._now)

    async def _line(self, url: str) -> Http2Line:
        async with self._opening:
            line = self._lines.get(url)
            if line is None or not line.is_usable:
                line = self._lines[url] = await Http2Line.open(url, self._tls, self._answer_s)
            return line

    def _shared(self, token: str) -> Fields:
        return (
            ("authorization", f"bearer {token}"),
            ("apns-topic", self._key.topic),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
        )


def _own(push: Push) -> Fields:
    apns_id = uuid5(NAMESPACE_URL, f"{push.device.token}/{push.chat_id}/{push.seq}")
    return (
        ("apns-expiration", str(int(push.expires_at.timestamp()))),
        ("apns-collapse-id", push.chat_id),
        ("apns-id", str(apns_id)),
    )


def payload(push: Push) -> bytes:
    alert = {"body": push.body} if push.title is None else {"title": push.title, "body": push.body}
    aps = {"alert": alert, "badge": push.badge, "sound": "default", "thread-id": push.chat_id}
    return msgspec.json.encode({"aps": aps, "chat_id": push.chat_id, "seq": push.seq, "message_id": push.message_id})


def outcome(answer: Answer, now: Callable[[], datetime]) -> Outcome:
    """What an answer means."""
    if answer.status == 200:
        return Outcome("sent")
    said = _said(answer)
    reason = str(said.get("reason", f"status {answer.status}"))
    if reason in _DEAD or answer.status == 410:
        return Outcome("gone", reason, gone_since=_moment(said.get("timestamp")))
    if answer.status == 403:
        # A wrong key is for the operator to mend; until then what there is to say waits.
        logger.error("Apple refuses our key: %s", reason)
    if answer.status in (403, 429) or answer.status >= 500:
        return Outcome("busy", reason, seconds(answer.headers.get("retry-after"), now))
    return Outcome("refused", reason)


def _said(answer: Answer) -> dict[str, int | str]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, int | str]) if answer.body else {}
    except msgspec.DecodeError:
        return {}


def _moment(unix_ms: int | str | None) -> datetime | None:
    """None for what is no time."""
    if not isinstance(unix_ms, int):
        return None
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
