"""Reading an upload as it comes: multipart/form-data (RFC 7578) with one part named `file`, never held in memory."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator
from urllib.parse import unquote

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.errors import UnsupportedMediaType
from commands.errors import BadJson, FieldError, Invalid, TooLarge, UnknownField
from commands.files import MAX_FILE_BYTES
from commands.lines import is_seen, without_unfit

ENVELOPE_BYTES = 64 * 1024
"""What stands around the file: boundaries and headers."""
IDLE_S = 60.0
"""An upload of which nothing comes for so long is given up."""
MAX_NAME_BYTES = 255
_JOINERS = "\u200c\u200d"
_SEPARATORS = re.compile(r"[/\\]")


class NotAnUpload(UnsupportedMediaType):
    """The body does not say that it is multipart/form-data."""


class Upload:
    """One request's file. `name` is known once `start` has returned; `chunks` gives the content once."""

    def __init__(self, request: Request) -> None:
        self.name = ""
        self._body = request.stream()
        self._pieces: list[bytes] = []
        self._header: list[bytes] = [b"", b""]
        self._part: dict[str, bytes] = {}
        self._is_found = False
        self._is_over = False
        self._envelope = 0
        self._parser = _parser_for(request, self)

    async def start(self) -> None:
        """Read up to the file. Raises BadJson, Invalid, UnknownField."""
        while not self._is_found:
            if not await self._read():
                raise _missing()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content. Raises what `start` raises, for what follows the file."""
        while True:
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
            if not await self._read():
                break
        if not self._is_over:
            raise BadJson("the upload broke off")

    async def _read(self) -> bool:
        """Take the next piece of the body. False at its end."""
        try:
            async with asyncio.timeout(IDLE_S):
                chunk = await anext(self._body, b"")
        except TimeoutError as error:
            raise Invalid("nothing came for a minute") from error
        if not chunk:
            return False
        before = sum(map(len, self._pieces))
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadJson(f"the body is not multipart/form-data: {error}") from error
        self._envelope += len(chunk) - (sum(map(len, self._pieces)) - before)
        if self._envelope > ENVELOPE_BYTES:
            raise TooLarge("there is too much around the file")
        return True

    # --- what the parser calls ----------------------------------------------------------------------------

    def on_part_begin(self) -> None:
        self._part = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def on_header_end(self) -> None:
        field, value = self._header
        self._part[field.lower().decode("latin-1")] = value
        self._header = [b"", b""]

    def on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._part.get("content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or field != "file":
            raise UnknownField("the only part is named file", errors=(FieldError(field[:100], "is not known"),))
        if self._is_found:
            raise Invalid("one file at a time", errors=(FieldError("file", "is there twice"),))
        self._is_found = True
        self.name = clean_name(options.get(b"filename", b""))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def on_end(self) -> None:
        self._is_over = True


def clean_name(raw: bytes) -> str:
    """A file's name as it is shown: without folders and what does not print, at most 255 bytes of UTF-8."""
    text = raw.decode("utf-8", "replace")
    # Browsers write a quote and a line's end so (WHATWG, multipart/form-data).
    for code in ("%22", "%0D", "%0A"):
        text = text.replace(code, unquote(code))
    text = _SEPARATORS.split(unicodedata.normalize("NFC", text))[-1]
    # Also without what turns the direction of reading, so that `gpj.exe` cannot pose as a picture. Joiners stay: they
    # are letters of some scripts and hold emoji together. A dot in front is part of a name, behind it is none.
    text = without_unfit(text).strip().rstrip(". ")
    if len(text.encode()) > MAX_NAME_BYTES:
        stem, dot, ending = text.rpartition(".")
        ending = f"{dot}{ending}" if dot and len(ending.encode()) <= 16 else ""
        kept = (stem if ending else text).encode()[: MAX_NAME_BYTES - len(ending.encode())]
        text = kept.decode("utf-8", "ignore").rstrip(_JOINERS) + ending
    return text if any(map(is_seen, text)) else "file"


def check_announced(request: Request) -> None:
    """Refuse what says itself that it is too large, before any of it is read. Raises TooLarge."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_FILE_BYTES + ENVELOPE_BYTES:
        raise TooLarge(f"a file may have {MAX_FILE_BYTES} bytes")


def _parser_for(request: Request, upload: Upload) -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    if kind != b"multipart/form-data":
        raise NotAnUpload("send the file as multipart/form-data, in a part named file")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        raise BadJson("the Content-Type names no boundary")
    return MultipartParser(
        boundary,
        {
            "on_part_begin": upload.on_part_begin,
            "on_part_data": upload.on_part_data,
            "on_header_field": upload.on_header_field,
            "on_header_value": upload.on_header_value,
            "on_header_end": upload.on_header_end,
            "on_headers_finished": upload.on_headers_finished,
            "on_end": upload.on_end,
        },
    )


def _missing() -> Invalid:
    return Invalid("there is no part named file", errors=(FieldError("file", "is missing"),))
