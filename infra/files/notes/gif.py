"""GIF89a: blocks, of which comments, plain texts and applications' data are no pixels."""

from __future__ import annotations

_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_TIMING, _APPLICATION = 0xF9, 0xFF


def without_notes(content: bytes) -> bytes:
    """May end anywhere behind its head; what is damaged is kept up to there. Raises ValueError."""
    if content[:6] not in (b"GIF87a", b"GIF89a") or len(content) < 13:
        raise ValueError("no GIF")
    at = 13 + _table(content[10])
    view = memoryview(content)
    parts: list[bytes | memoryview] = [view[:at]]
    timing: bytes | memoryview = b""
    has_picture = False
    while at < len(content):
        kind = content[at]
        if kind == _IMAGE and at + 10 <= len(content):
            end = _blocks_end(content, at + 11 + _table(content[at + 9]))
            parts += [timing, view[at:end]]
            timing, has_picture = b"", True
        elif kind == _EXTENSION and at + 2 <= len(content):
            label, end = content[at + 1], _blocks_end(content, at + 2)
            if label == _TIMING:
                timing = view[at:end]
            elif label == _APPLICATION:
                parts.append(_loop(content[at:end]))
            else:
                timing = b""  # it was that of a text which is drawn
        elif kind == 0:  # some encoders end a picture twice
            end = at + 1
        else:
            if kind != _END and not has_picture:
                raise ValueError("no GIF")
            break
        at = end
    return b"".join([*parts, bytes([_END])])


def _table(flags: int) -> int:
    """Bytes of the table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks_end(content: bytes, at: int) -> int:
    """Behind the block of length 0 that ends a series of them."""
    while at < len(content) and content[at]:
        at += 1 + content[at]
    return at + 1


def _loop(extension: bytes) -> bytes:
    """How often a picture repeats, if the extension says that."""
    if extension[3:14] in _LOOPS and extension[14:16] == b"\x03\x01" and len(extension) >= 18:
        return b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + extension[16:18] + b"\0"
    return b""
