"""Google's side: the exchange of a signed assertion for a token (RFC 7523), and the v1 API of Firebase messaging."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs
from uuid import uuid4

import httptools
import jwt

from tests.support.providers.keys import EMAIL, PROJECT, Keys
from tests.support.providers.ledger import Ledger, Received

SCOPES = {"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"}
"""Either will do."""
AUDIENCE = "https://oauth2.googleapis.com/token"
"""In every assertion, wherever it is sent."""
MAX_PAYLOAD = 4_096


@dataclass
class Google:
    keys: Keys
    ledger: Ledger = field(default_factory=Ledger)
    url: str = ""
    tokens: dict[str, float] = field(default_factory=dict)
    """Access token → until when it holds."""
    token_life_s: float = 3_600.0
    gives_tokens: bool = True
    public: str = ""
    connections: list[_Connection] = field(default_factory=list)


@asynccontextmanager
async def google(keys: Keys) -> AsyncIterator[Google]:
    """The service, running; `keys.account` is its service account."""
    its = Google(keys)
    its.public = keys.account_public.read_text()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(its), "127.0.0.1", 0)
    its.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    keys.write_account(its.url)
    try:
        yield its
    finally:
        server.close()
        for connection in its.connections:
            connection.abort()
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, its: Google) -> None:
        self._its = its
        self._parser = httptools.HttpRequestParser(self)
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio's
        self._its.connections.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._its.connections.remove(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # --- httptools calls these ---

    def on_message_begin(self) -> None:
        self._path, self._headers, self._body = "", {}, bytearray()

    def on_url(self, url: bytes) -> None:
        self._path = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._path == "/token":
            self._send(*self._exchange())
        elif self._path == f"/v1/projects/{PROJECT}/messages:send":
            answer = self._message()
            if answer is not None:
                self._send(*answer)
        else:
            self._send(404, _error("NOT_FOUND", "no such path"))

    def _exchange(self) -> tuple[int, dict[str, Any]]:
        given = parse_qs(self._body.decode())
        if given.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"] or not self._its.gives_tokens:
            return 400, {"error": "unsupported_grant_type"}
        try:
            claims = jwt.decode(given["assertion"][0], self._its.public, ["RS256"], audience=AUDIENCE, issuer=EMAIL)
        except (jwt.InvalidTokenError, KeyError) as error:
            return 400, {"error": "invalid_grant", "error_description": str(error)}
        if SCOPES.isdisjoint(claims["scope"].split()):
            return 400, {"error": "invalid_scope"}
        token = uuid4().hex
        self._its.tokens[token] = time.time() + self._its.token_life_s
        return 200, {"access_token": token, "expires_in": int(self._its.token_life_s), "token_type": "Bearer"}

    def _message(self) -> tuple[int, dict[str, Any]] | None:
        ledger = self._its.ledger
        access = self._headers.get("authorization", "").removeprefix("Bearer ")
        if self._its.tokens.get(access, 0) < time.time() or ledger.expired():
            ledger.refuse("UNAUTHENTICATED")
            return 401, _error("UNAUTHENTICATED", "the access token is wrong or out of date")
        asked = json.loads(self._body)
        message = asked["message"]
        token = message.get("token", "")
        mood = ledger.mood(token)
        if mood == "slow":
            return None
        refusal: tuple[int, dict[str, Any]] | None = {
            "bad": (
                400,
                _error("INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"),
            ),
            "gone": (404, _error("NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")),
            "busy": (429, _error("RESOURCE_EXHAUSTED", "Quota exceeded", "QUOTA_EXCEEDED")),
            "broken": (500, _error("INTERNAL", "Internal error", "INTERNAL")),
            "refused": (400, _error("INVALID_ARGUMENT", "Invalid value at 'message'")),
        }.get(mood)
        shown = json.dumps([message.get("notification"), message.get("data")], ensure_ascii=False)
        if refusal is None and (not token or len(shown.encode()) > MAX_PAYLOAD):
            refusal = 400, _error("INVALID_ARGUMENT", "Message is too big")
        if refusal is None and not all(isinstance(value, str) for value in message.get("data", {}).values()):
            refusal = 400, _error("INVALID_ARGUMENT", "Invalid value at 'message.data'")
        if refusal is not None:
            ledger.refuse(refusal[1]["error"]["status"])
            return refusal
        if not asked.get("validate_only"):
            ledger.accept(Received(token, self._headers, message))
        return 200, {"name": f"projects/{PROJECT}/messages/{uuid4()}"}

    def _send(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        head = [f"HTTP/1.1 {status} x", "content-type: application/json", f"content-length: {len(body)}"]
        if self._its.ledger.retry_after is not None and status in (429, 500):
            head.append(f"retry-after: {self._its.ledger.retry_after}")
        self._transport.write("\r\n".join([*head, "", ""]).encode() + body)


def _error(status: str, message: str, code: str | None = None) -> dict[str, Any]:
    details = []
    if code is not None:
        details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    return {"error": {"status": status, "message": message, "details": details}}
