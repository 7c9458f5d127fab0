"""What a file is, going by its first bytes and never by its name."""

from __future__ import annotations

import re

import puremagic

HEAD_BYTES = 8 * 1024
UNKNOWN = "application/octet-stream"
_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}")
_SURE = 0.4
"""Below that, a few bytes that happen to begin a text so are no sign."""
_NO_TEXT = re.compile(r"(image/(?!svg)|audio/|video/|font/).*")
"""Types of which no file reads as text, however it begins."""
_PICTURES = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"....ftyp(avif|avis|(mif1|msf1|miaf).{4}(.{4}){0,8}(avif|avis))", re.DOTALL), "image/avif"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), "image/jp2"),
    (re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "image/heic"),
)
_TOLD = frozenset(kind for _, kind in _PICTURES)
"""What the rules above have not found is none of these."""
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")


def content_type(head: bytes) -> str:
    """The media type of what begins with `head`, `application/octet-stream` where it cannot be told."""
    is_text = _is_text(head)
    if not is_text:
        for begins, kind in _PICTURES:
            if begins.match(head):
                return kind
    try:
        guesses = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        guesses = []
    for guess in guesses:
        if not _TYPE.fullmatch(guess.mime_type) or guess.mime_type in _TOLD:
            continue
        if not is_text or (guess.confidence >= _SURE and not _NO_TEXT.fullmatch(guess.mime_type)):
            return str(guess.mime_type)
    if _TIFF.match(head):
        return "image/tiff"
    return "text/plain" if is_text else UNKNOWN


def _is_text(head: bytes) -> bool:
    """Whether it reads as UTF-8; a character may be cut at the end."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) - error.start > 3 or "unexpected end" not in error.reason:
            return False
        text = head[: error.start].decode()
    return not any(char < " " and char not in "\t\n\r\f\x1b" for char in text)
