"""WebP (RFC 9649): chunks of RIFF."""

from __future__ import annotations

import struct

from infra.files.notes.orientation import only_orientation

_DRAWN = frozenset(b"VP8 |VP8L|VP8X|ICCP|ANIM|ANMF|ALPH".split(b"|"))
_EXIF, _XMP = 0x08, 0x04
"""Flags of VP8X."""


def without_notes(content: bytes) -> bytes:
    """May end anywhere. Raises ValueError."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise ValueError("no WebP")
    parts: list[tuple[bytes, bytes]] = []
    turned = b""
    flags = None
    for name, payload in _chunks(content, 12):
        if name == b"EXIF":
            turned = turned or only_orientation(payload).removeprefix(b"Exif\0\0")
        elif name == b"VP8X" and payload:
            flags = len(parts)
            parts.append((name, bytes([payload[0] & ~(_EXIF | _XMP)]) + payload[1:]))
        elif name == b"ANMF":
            frame = [_chunk(*each) for each in _chunks(payload, 16) if each[0] in _DRAWN]
            parts.append((name, payload[:16] + b"".join(frame)))
        elif name in _DRAWN:
            parts.append((name, payload))
    if turned and flags is not None:
        name, payload = parts[flags]
        parts[flags] = (name, bytes([payload[0] | _EXIF]) + payload[1:])
        parts.append((b"EXIF", turned))
    if not any(name in (b"VP8 ", b"VP8L", b"ANMF") for name, _ in parts):
        raise ValueError("no WebP")
    body = b"WEBP" + b"".join(_chunk(*each) for each in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(content: bytes, at: int) -> list[tuple[bytes, bytes]]:
    """Name and payload of each; the last one's may be cut off."""
    end = len(content)
    if at == 12:  # what stands behind the file's own end is none of it
        end = min(end, 8 + int.from_bytes(content[4:8], "little"))
    found = []
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", content, at)
        found.append((name, content[at + 8 : min(at + 8 + length, end)]))
        at += 8 + length + length % 2
    return found


def _chunk(name: bytes, payload: bytes) -> bytes:
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)
