"""Files of the web client, from memory: compressed once, told apart by ETag, revalidated on every use."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import Request, Response

from api.errors import NoSuchPath
from api.http.routing import make_router

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""Ending → media type. Files with other endings are not served."""
_PACKED = frozenset({".ico", ".png", ".woff2"})
_WORTH_PACKING = 512


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. `gzipped` is there where it pays."""

    content: bytes
    gzipped: bytes | None
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, ending: str) -> Asset:
        packed = None
        if ending not in _PACKED and len(content) >= _WORTH_PACKING:
            packed = gzip.compress(content, 9, mtime=0)
        return cls(content, packed, TYPES[ending], sha256(content).hexdigest()[:20])

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the client has it."""
        body, etag = self.content, f'"{self.etag}"'
        headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.gzipped is not None and takes_gzip(request.headers.get("accept-encoding", "")):
            body, etag = self.gzipped, f'"{self.etag}-gzip"'
            headers["Content-Encoding"] = "gzip"
        headers["ETag"] = etag
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if etag in known or "*" in known:
            headers.pop("Content-Encoding", None)
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=self.media_type)


def read_assets(folder: Path) -> dict[str, Asset]:
    """Path below the folder, with slashes → file. Empty where there is no folder."""
    return {
        file.relative_to(folder).as_posix(): Asset.of(file.read_bytes(), file.suffix)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix in TYPES and file.name != "package.json"
    }


router = make_router("web")


def _asset(request: Request, path: str) -> Response:
    assets: Mapping[str, Asset] = request.app.state.assets
    if path not in assets:
        raise NoSuchPath("there is nothing at this path")
    return assets[path].answer(request)


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    return _asset(request, "index.html")


@router.get("/demo", include_in_schema=False)
async def demo(request: Request) -> Response:
    return _asset(request, "demo.html")


@router.get("/admin", include_in_schema=False)
async def admin(request: Request) -> Response:
    """The page alone, which holds nothing: what it shows it asks for as whoever is signed in."""
    return _asset(request, "admin.html")


@router.get("/web/{path:path}", include_in_schema=False)
async def web(request: Request, path: str) -> Response:
    return _asset(request, path)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client that sent this header takes gzip."""
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in ("gzip", "*"):
            quality = parameters.strip().removeprefix("q=").strip()
            try:
                return not quality or float(quality) > 0
            except ValueError:
                return False
    return False
