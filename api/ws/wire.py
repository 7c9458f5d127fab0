"""WebSocket frames as bytes, from server to client (RFC 6455, section 5.2): unmasked and never fragmented.

A frame is built once, header included, and the same bytes go to every socket.
"""

from __future__ import annotations

from struct import pack

PING = b"\x89\x00"

_SHORT = [bytes((0x81, size)) for size in range(126)]


def text_frame(payload: bytes) -> bytes:
    """A text frame around JSON in UTF-8."""
    size = len(payload)
    if size < 126:
        return _SHORT[size] + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame. The reason is cut to what a control frame holds; code 0 stands for "no code given"."""
    if code == 0:
        return b"\x88\x00"
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return pack(">BBH", 0x88, 2 + len(text), code) + text


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping, whose payload it returns (at most 125 bytes)."""
    return bytes((0x8A, len(payload))) + payload


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
