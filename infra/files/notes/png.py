"""PNG (third edition): chunks, each with a length, a name and a checksum."""

from __future__ import annotations

import struct
import zlib

from infra.files.notes.orientation import only_orientation

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DRAWN = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs acTL fcTL fdAT".split())


def without_notes(content: bytes) -> bytes:
    """May end within a chunk of pixels. Raises ValueError."""
    if not content.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    view = memoryview(content)
    parts: list[bytes | memoryview] = [_SIGNATURE]
    at = len(_SIGNATURE)
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if not name.isalpha() or (len(parts) == 1 and name != b"IHDR"):
            raise ValueError("no PNG")
        if name in _DRAWN:
            parts.append(view[at:end])
        elif name == b"eXIf" and (turned := only_orientation(content[at + 8 : end - 4]).removeprefix(b"Exif\0\0")):
            body = b"eXIf" + turned
            parts.append(struct.pack(">I", len(turned)) + body + struct.pack(">I", zlib.crc32(body)))
        if name == b"IEND":
            break
        at = end
    return b"".join(parts)
