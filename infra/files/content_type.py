"""What a file is, going by its first bytes and never by its name."""

from __future__ import annotations

import re

import puremagic

HEAD_BYTES = 8 * 1024
UNKNOWN = "application/octet-stream"
_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}")
_SURE = 0.4
"""Below that, a few bytes that happen to begin a text so are no sign."""


def content_type(head: bytes) -> str:
    """The media type of what begins with `head`, `application/octet-stream` where it cannot be told."""
    is_text = _is_text(head)
    try:
        guesses = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        guesses = []
    for guess in guesses:
        if _TYPE.fullmatch(guess.mime_type) and (guess.confidence >= _SURE or not is_text):
            return str(guess.mime_type)
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
