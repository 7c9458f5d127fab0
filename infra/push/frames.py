"""HTTP/2 on the wire (RFC 9113), as much of it as a client of small requests needs. There are no sockets in here.

A general library keeps an object for each frame and a machine of states for each stream: several times the CPU of all
the rest of a request (ADR 0036).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct

from hpack import Decoder, Encoder, HPACKError
from hpack.hpack import encode_integer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME = 16_384
"""What both sides take if nothing else was said. Here nothing else is ever said."""
WINDOW = 65_535
"""What both sides may send if nothing else was said."""
_MAX_BLOCK = 65_536

Fields = tuple[tuple[str, str], ...]
"""Names in lower case."""
Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream, payload."""


class FramingError(Exception):
    """The other side does not keep to the protocol."""


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntEnum):
    ACK = 1
    END_STREAM = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 32


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4


class Code(IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    REFUSED_STREAM = 7
    CANCEL = 8


_HEAD = Struct(">BHBBI")
_SETTING = Struct(">HI")
_HEADERS, _DATA = int(Kind.HEADERS), int(Kind.DATA)
_END_HEADERS, _END_STREAM = int(Flag.END_HEADERS), int(Flag.END_STREAM)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def request(stream: int, block: bytes, body: bytes) -> bytes:
    """A whole request. `block` and `body` have `MAX_FRAME` bytes at most."""
    return (
        _HEAD.pack(0, len(block), _HEADERS, _END_HEADERS, stream)
        + block
        + _HEAD.pack(0, len(body), _DATA, _END_STREAM, stream)
        + body
    )


def number(value: int) -> bytes:
    """The payload of frames that say no more."""
    return value.to_bytes(4, "big")


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_SETTING.pack(*each) for each in values)


def settings_of(payload: bytes) -> dict[int, int]:
    """Raises FramingError."""
    if len(payload) % _SETTING.size:
        raise FramingError("settings that end in the middle")
    return dict(_SETTING.iter_unpack(payload))


def number_of(payload: bytes, at: int = 0) -> int:
    """Raises FramingError where there is none."""
    if len(payload) < at + 4:
        raise FramingError("a frame that is too short")
    return int.from_bytes(payload[at : at + 4], "big")


def stream_of(payload: bytes) -> int:
    """A number whose first bit means nothing. Raises FramingError."""
    return number_of(payload) & 0x7FFF_FFFF


def unpadded(flags: int, payload: bytes) -> bytes:
    """Raises FramingError."""
    if flags & Flag.PADDED:
        if not payload or payload[0] >= len(payload):
            raise FramingError("more padding than frame")
        payload = payload[1 : len(payload) - payload[0]]
    return payload


class Frames:
    """Bytes as they come, cut into frames. A block of headers comes as one frame, whatever it was cut into."""

    def __init__(self) -> None:
        self._rest = b""
        self._block: tuple[int, int] | None = None
        """Flags and stream of the block that is not whole."""
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Raises FramingError."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            size = high << 16 | low
            if size > MAX_FRAME:
                raise FramingError(f"a frame of {size} bytes")
            start = at + _HEAD.size
            if end - start < size:
                break
            at = start + size
            payload = data[start:at]
            stream &= 0x7FFF_FFFF
            if self._block is None and (kind != _HEADERS or flags & _END_HEADERS):
                if kind == _HEADERS:
                    payload = _fragment(flags, payload)
                yield kind, flags, stream, payload
            elif (whole := self._join(kind, flags, stream, payload)) is not None:
                yield whole
        self._rest = data[at:]

    def _join(self, kind: int, flags: int, stream: int, payload: bytes) -> Frame | None:
        if self._block is None:
            self._block, self._parts = (flags, stream), [_fragment(flags, payload)]
            return None
        first, whose = self._block
        if kind != Kind.CONTINUATION or stream != whose:
            raise FramingError("something else in the middle of headers")
        self._parts.append(payload)
        if sum(map(len, self._parts)) > _MAX_BLOCK:
            raise FramingError("headers without an end")
        if not flags & _END_HEADERS:
            return None
        self._block = None
        return _HEADERS, first, whose, b"".join(self._parts)


def _fragment(flags: int, payload: bytes) -> bytes:
    return unpadded(flags, payload)[5 if flags & Flag.PRIORITY else 0 :]


class Blocks:
    """Headers there and back (RFC 7541).

    What all requests share is put into the server's table once, and is a byte for each header from then on. What one
    request alone has stays out of the table, and so what the others look like in bytes never changes. Nothing is
    Huffman coded: to save some tens of bytes it cost half of a request.
    """

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._shared: Fields = ()
        self._indexed = b""
        """`_shared`, once the server's table has all of it."""

    def encode(self, path: str, shared: Fields, own: Fields) -> bytes:
        """`shared` begins with what other pseudo headers there are."""
        if shared != self._shared:
            self._shared, self._indexed = shared, b""
        resized, block = b"", self._indexed
        if not block:
            resized = self._encoder.encode(())  # a new size of the table, if there is one, which stands before all
            block = self._encoder.encode(shared, huffman=False)
            if len(block) == len(shared) and min(block) >= 0x80:
                self._indexed = block
        return b"".join((resized, _literal(":path", path), block, *(_literal(name, value) for name, value in own)))

    def decode(self, block: bytes) -> dict[str, str]:
        """Raises FramingError. To be called for every block, wanted or not."""
        try:
            return {str(name): str(value) for name, value in self._decoder.decode(block)}
        except (HPACKError, UnicodeDecodeError) as error:
            raise FramingError(f"headers that cannot be read: {error}") from error

    def resize(self, size: int) -> None:
        """The server says how large its table is."""
        self._encoder.header_table_size = size
        self._indexed = b""


_NAMES: dict[str, bytes] = {}


def _literal(name: str, value: str) -> bytes:
    """A header that no table ever has."""
    start = _NAMES.get(name)
    if start is None:
        start = _NAMES[name] = b"\x10" + _text(name.encode())
    return start + _text(value.encode())


def _text(value: bytes) -> bytes:
    size = len(value)
    return (bytes((size,)) if size < 127 else bytes(encode_integer(size, 7))) + value
