"""Apple's side: HTTP/2 over TLS, with the checks that Apple's documentation names."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import jwt
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from tests.support.providers.keys import KEY_ID, TEAM_ID, TOPIC, Keys
from tests.support.providers.ledger import Ledger, Received

MAX_PAYLOAD = 4_096
GONE_AT_MS = 1_700_000_000_000


@dataclass
class Apple:
    keys: Keys
    ledger: Ledger = field(default_factory=Ledger)
    url: str = ""
    streams: int = 100
    """At once, on one connection."""
    goodbye_after: int | None = None
    """Say GOAWAY with so many requests of a connection."""
    connections: list[_Connection] = field(default_factory=list)
    opened: int = 0
    public: str = ""
    known: dict[str, str | None] = field(default_factory=dict)
    """Provider token → what is wrong with its signature, checked once."""

    @property
    def most_at_once(self) -> int:
        return max((connection.most for connection in self.connections), default=0)


@asynccontextmanager
async def apple(keys: Keys, **about: int) -> AsyncIterator[Apple]:
    """The service, running. `about`: fields of `Apple`."""
    its = Apple(keys, **about)  # type: ignore[arg-type]
    its.public = keys.apns_public.read_text()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(its), "127.0.0.1", 0, ssl=keys.server_tls())
    its.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield its
    finally:
        server.close()
        for connection in its.connections:
            connection.abort()
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, its: Apple) -> None:
        self._its = its
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._headers: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._requests = 0
        self.most = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio's
        self._its.connections.append(self)
        self._its.opened += 1
        limit = {SettingCodes.MAX_CONCURRENT_STREAMS: self._its.streams}
        self._h2.local_settings = Settings(client=False, initial_values=limit)
        self._h2.initiate_connection()
        self._write()

    def abort(self) -> None:
        """End without a word."""
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._bodies.clear()

    def data_received(self, data: bytes) -> None:
        events = self._h2.receive_data(data)
        self.most = max(self.most, self._h2.open_inbound_streams)
        for event in events:
            match event:
                case RequestReceived(stream_id=int(number), headers=given):
                    self._headers[number] = {str(name): str(value) for name, value in given or ()}
                    self._bodies[number] = bytearray()
                case DataReceived(stream_id=int(number), data=some, flow_controlled_length=int(length)):
                    self._bodies[number] += some or b""
                    self._h2.acknowledge_received_data(length, number)
                case StreamEnded(stream_id=int(number)):
                    self._requests += 1
                    if self._requests == self._its.goodbye_after:
                        # This one is answered; whatever comes behind it is not looked at.
                        self._answer(number)
                        self._h2.close_connection(last_stream_id=number)
                        self._write()
                        self._transport.close()
                        return
                    self._answer(number)
                case StreamReset(stream_id=int(number)):
                    self._bodies.pop(number, None)
        self._write()

    def _answer(self, number: int) -> None:
        headers, body = self._headers.pop(number), bytes(self._bodies[number])
        token = headers[":path"].removeprefix("/3/device/")
        mood = self._its.ledger.mood(token)
        if mood == "slow":
            self._its.ledger.refuse("(no answer)")
            return
        status, reason = self._judge(headers, body, token)
        if status == 200:
            status, reason = {
                "bad": (400, "BadDeviceToken"),
                "gone": (410, "Unregistered"),
                "busy": (429, "TooManyRequests"),
                "broken": (500, "InternalServerError"),
                "refused": (400, "BadTopic"),
            }.get(mood, (200, ""))
        fields = [(":status", str(status)), ("apns-id", headers.get("apns-id", ""))]
        if status == 200:
            self._its.ledger.accept(Received(token, headers, json.loads(body)))
            self._h2.send_headers(number, fields, end_stream=True)
        else:
            self._its.ledger.refuse(reason)
            said: dict[str, object] = {"reason": reason}
            if status == 410:
                said["timestamp"] = GONE_AT_MS
            if self._its.ledger.retry_after is not None and status in (429, 500):
                fields.append(("retry-after", self._its.ledger.retry_after))
            self._h2.send_headers(number, fields)
            self._h2.send_data(number, json.dumps(said).encode(), end_stream=True)
        del self._bodies[number]

    def _judge(self, headers: dict[str, str], body: bytes, token: str) -> tuple[int, str]:
        wrong = self._wrong_token(headers.get("authorization", ""))
        if wrong is not None:
            return 403, wrong
        if headers[":method"] != "POST":
            return 405, "MethodNotAllowed"
        if not headers[":path"].startswith("/3/device/") or not token:
            return 404, "BadPath"
        if headers.get("apns-topic") != TOPIC:
            return 400, "DeviceTokenNotForTopic"
        if headers.get("apns-push-type") != "alert":
            return 400, "InvalidPushType"
        if headers.get("apns-priority") not in ("1", "5", "10"):
            return 400, "BadPriority"
        if re.fullmatch(r"\d{1,12}", headers.get("apns-expiration", "")) is None:
            return 400, "BadExpirationDate"
        if not 1 <= len(headers.get("apns-collapse-id", "").encode()) <= 64:
            return 400, "BadCollapseId"
        try:
            UUID(headers.get("apns-id", ""))
        except ValueError:
            return 400, "BadMessageId"
        if len(body) > MAX_PAYLOAD:
            return 413, "PayloadTooLarge"
        if not json.loads(body).get("aps", {}).get("alert"):
            return 400, "PayloadEmpty"
        return 200, ""

    def _wrong_token(self, authorization: str) -> str | None:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return "MissingProviderToken"
        if self._its.ledger.expired():
            return "ExpiredProviderToken"
        if text not in self._its.known:
            self._its.known[text] = self._wrong_signature(text)
        return self._its.known[text]

    def _wrong_signature(self, text: str) -> str | None:
        try:
            if jwt.get_unverified_header(text).get("kid") != KEY_ID:
                return "InvalidProviderToken"
            options = {"verify_iat": False, "require": ["iss", "iat"]}
            claims = jwt.decode(text, self._its.public, ["ES256"], options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return "InvalidProviderToken"
        if claims["iss"] != TEAM_ID:
            return "InvalidProviderToken"
        return "ExpiredProviderToken" if abs(time.time() - claims["iat"]) > 3_600 else None

    def _write(self) -> None:
        self._transport.write(self._h2.data_to_send())
