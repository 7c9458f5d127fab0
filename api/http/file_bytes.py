"""Sending a file's bytes: whole or a range of them (RFC 9110), so that nothing in them can run as ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from api.errors import OutOfRange
from commands.files import Blobs

CSP = "default-src 'none'; sandbox"
"""An uploaded page or drawing that is opened as such has no script, no origin and no network."""
LINK_LIFE = timedelta(minutes=5)
"""Of a link that the storage signs: it is followed at once."""
_SHOWN = re.compile(r"image/(jpeg|png|gif|webp|avif)|(audio|video)/[a-z0-9.+-]+")
"""What a browser may show in place; everything else is saved."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Content:
    """An object as it is sent. `cache`: the value of Cache-Control."""

    key: str
    name: str
    content_type: str
    size: int
    etag: str
    cache: str
    is_shown: bool = True
    """False: always saved. A picture that could not be read here is not put before a browser's decoder either."""

    @property
    def disposition(self) -> str:
        """After RFC 6266: the name once in ASCII for old readers, once whole."""
        how = "inline" if self.is_shown and _SHOWN.fullmatch(self.content_type) else "attachment"
        plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", self.name)
        return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(self.name, safe='')}"


async def send(request: Request, blobs: Blobs, content: Content) -> Response:
    """200, 206, 304, or 307 to the storage. Raises OutOfRange, NoSuchFile, Unavailable."""
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": content.cache,
        "Content-Disposition": content.disposition,
        "Content-Security-Policy": CSP,
        "Content-Type": content.content_type,
        "ETag": content.etag,
    }
    if _matches(request.headers.get("if-none-match"), content.etag):
        return Response(status_code=304, headers=headers)
    link = await blobs.link(content.key, LINK_LIFE, content.content_type, content.disposition)
    if link is not None:
        return RedirectResponse(link, 307, {"Cache-Control": "no-store"})
    start, length, status = _span(request, content)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{content.size}"
    headers["Content-Length"] = str(length)
    if request.scope.get("tidings.is_head"):
        return Response(status_code=status, headers=headers)
    pieces = blobs.read(content.key, start, length)
    first = await anext(pieces)  # what is not there is told before anything is sent
    return StreamingResponse(_all(first, pieces), status, headers)


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _span(request: Request, content: Content) -> tuple[int, int, int]:
    """(start, length, status) of what is asked for. Several ranges, and what is no range, get all of it."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    unchanged = request.headers.get("if-range", content.etag) == content.etag
    if asked is None or not unchanged or asked.groups() == ("", ""):
        return 0, content.size, 200
    first, last = asked.groups()
    if first == "":
        start, end = max(content.size - int(last), 0), content.size
    else:
        start, end = int(first), min(int(last or content.size), content.size - 1) + 1
        if last and int(last) < int(first):
            return 0, content.size, 200
    if start >= content.size:
        raise OutOfRange(content.size)
    return start, end - start, 206


def _matches(header: str | None, etag: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in (header or "").split(",")}
    return etag in known or "*" in known
