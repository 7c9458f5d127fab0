"""JSON answers compressed by gzip for those who take it (RFC 9110)."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.static import takes_gzip

LEAST = 1_024
"""Smaller answers stay as they are: a packet holds them."""
IN_THREAD = 64 * 1024
"""Larger ones are compressed beside the loop."""
LEVEL = 4
NEVER = ("/v1/auth/", "/v1/demo/login", "/v1/files/")
"""Answers with tokens or signatures beside text that others may choose: their compressed length could tell (BREACH)."""
_KINDS = ("application/json", "application/problem+json")


class Packed:
    """ASGI middleware. Files, streams, and what is compressed already, pass as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(NEVER):
            await self._app(scope, receive, send)
            return
        accepted = takes_gzip(Headers(scope=scope).get("accept-encoding", ""))
        started: Message | None = None

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                if _may_be_packed(message):
                    started = message  # until its body is seen
                    return
            elif started is not None:
                start, started = started, None
                whole = not message.get("more_body", False)
                body = message.get("body", b"")
                headers = MutableHeaders(raw=list(start["headers"]))
                if whole and len(body) >= LEAST:
                    headers.add_vary_header("Accept-Encoding")
                    if accepted:
                        body = await _pack(body)
                        headers["Content-Encoding"] = "gzip"
                        headers["Content-Length"] = str(len(body))
                await send({**start, "headers": headers.raw})
                message = {**message, "body": body}
            await send(message)

        await self._app(scope, receive, send_on)


def _may_be_packed(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return headers.get("content-type", "").startswith(_KINDS) and "content-encoding" not in headers


async def _pack(body: bytes) -> bytes:
    return await asyncio.to_thread(_gzip, body) if len(body) > IN_THREAD else _gzip(body)


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()
