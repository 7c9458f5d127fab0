"""JPEG (ITU T.81, annex B): segments, each with a marker and a length, and between them the coded pixels."""

from __future__ import annotations

import re

from infra.files.notes.orientation import only_orientation

_NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker within coded pixels, other than restarts and an escaped 0xff."""
_SOI, _EOI, _SOS, _COM, _APP1 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE1
_DRAWN = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""What of applications' segments says how the pixels are meant."""
_RESERVED = frozenset(range(0xF0, 0xFE))
_JFIF = 16
"""Bytes of a JFIF segment without its small picture."""


def without_notes(content: bytes) -> bytes:
    """May end anywhere: what is damaged behind its head is kept up to there. Raises ValueError."""
    if content[:3] != b"\xff\xd8\xff":
        raise ValueError("no JPEG")
    view = memoryview(content)
    parts: list[bytes | memoryview] = [view[:2]]
    at, is_turned = 2, False
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise ValueError("a marker is missing")
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _EOI:
            parts.append(view[at : at + 2])
            return b"".join(parts)
        if marker == 0x01 or 0xD0 <= marker <= _SOI:
            at += 2
            continue
        if marker < 0xC0 or marker in _RESERVED:
            raise ValueError("no JPEG has such a marker")
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if length < 2:
            raise ValueError("a segment is shorter than its length")
        end = at + 2 + length
        payload = content[at + 4 : end]
        if marker == _APP1 and payload.startswith(b"Exif\0") and not is_turned:
            turned = only_orientation(payload)
            is_turned = bool(turned)
            if turned:
                parts.append(b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned)
        elif marker == 0xE0 and payload.startswith(b"JFIF\0") and len(payload) >= _JFIF - 2:
            parts.append(b"\xff\xe0\0\x10" + payload[: _JFIF - 4] + b"\0\0")
        elif not (0xE0 <= marker <= 0xEF or marker == _COM) or (
            marker != 0xE0 and payload.startswith(_DRAWN.get(marker, b"-"))
        ):
            parts.append(view[at:end])
        at = end
        if marker == _SOS:
            following = _NEXT.search(content, at)
            at = following.start() if following else len(content)
            parts.append(view[end:at])
    if content[at:] == b"\xff\xd9":
        parts.append(view[at:])
    return b"".join(parts)
