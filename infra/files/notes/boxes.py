"""HEIC and AVIF (ISO/IEC 14496-12 and 23008-12): boxes, of which `meta` says what lies where in `mdat`.

Positions are absolute, so nothing may move: what is not needed is overwritten where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_NOTES = frozenset({b"Exif", b"mime", b"uri "})
"""Types of items that are no pixels; XMP is a mime."""
_NESTED = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf"})
_EMPTIED = frozenset({b"free", b"skip", b"uuid", b"udta"})
_TIMED = frozenset({b"mvhd", b"tkhd", b"mdhd"})
_KNOWN = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"moof", b"mfra", b"sidx", b"ssix", b"styp", b"pdin", b"idat"})
_NOTHING = b"skip"
"""A type of item that no reader knows."""
Span = tuple[int, int]
"""Start and end."""


@dataclass
class _Items:
    """What a `meta` box tells. Extents by item; those of `idat` are absolute too."""

    kinds: dict[int, bytes] = field(default_factory=dict)
    kind_at: dict[int, int] = field(default_factory=dict)
    extents: dict[int, list[Span]] = field(default_factory=dict)


def without_notes(content: bytes) -> bytes:
    """Raises ValueError."""
    if content[4:8] != b"ftyp":
        raise ValueError("no picture of boxes")
    written = bytearray(content)
    mdats: list[Span] = []
    items = _Items()
    chunks: list[int] = []
    has_frames = False
    for kind, start, end in _boxes(content, 0, len(content)):
        if kind == b"mdat":
            mdats.append((start, end))
        elif kind == b"meta":
            _read_meta(content, start, end, written, items)
        elif kind == b"moov":
            has_frames = True
            _read_movie(content, start, end, written, chunks)
        elif kind in _EMPTIED or kind not in _KNOWN:
            _fill(written, start, end)
    if not items.extents and not has_frames:
        raise ValueError("there is no picture in it")
    _empty_notes(items, written)
    kept = [span for spans in items.extents.values() for span in spans]
    for start, end in mdats:
        if not has_frames:
            for hole in holes(start, end, kept):
                _fill(written, *hole)
        elif not any(start <= place < end for place in (*chunks, *(place for place, _ in kept))):
            _fill(written, start, end)
    return bytes(written)


def holes(start: int, end: int, kept: list[Span]) -> Iterator[Span]:
    """What is left of a span without those kept."""
    for first, last in sorted(kept):
        if first > start:
            yield start, min(first, end)
        start = max(start, last)
        if start >= end:
            return
    yield start, end


def _boxes(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each one's payload; the last one's may be cut off. What follows is nothing's."""
    while at + 8 <= end:
        size, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = end - at
        if size < head:
            raise ValueError("a box is shorter than its head")
        yield kind, at + head, min(at + size, end)
        at += size


def _empty_notes(items: _Items, written: bytearray) -> None:
    for item, kind in items.kinds.items():
        if kind in _NOTES:
            written[items.kind_at[item] : items.kind_at[item] + 4] = _NOTHING
            for span in items.extents.get(item, ()):
                _fill(written, *span)


def _read_movie(content: bytes, start: int, end: int, written: bytearray, chunks: list[int]) -> None:
    """`chunks` takes where frames lie."""
    for kind, first, last in _boxes(content, start, end):
        if kind in _NESTED:
            _read_movie(content, first, last, written, chunks)
        elif kind == b"meta":
            inner = _Items()
            _read_meta(content, first, last, written, inner)
            _empty_notes(inner, written)
        elif kind in _EMPTIED:
            _fill(written, first, last)
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            places = range(first + 8, last - width + 1, width)
            chunks += [int.from_bytes(content[at : at + width], "big") for at in places]
        elif kind in _TIMED:  # when it was made and changed
            _fill(written, first + 4, first + (20 if content[first] else 12))


def _read_meta(content: bytes, start: int, end: int, written: bytearray, items: _Items) -> None:
    idat = 0
    places: Span | None = None
    for kind, first, last in _boxes(content, start + 4, end):
        if kind == b"iinf":
            skipped = 6 if content[first] == 0 else 8
            for inner, at, _ in _boxes(content, first + skipped, last):
                if inner == b"infe" and content[at] >= 2:
                    wide = 2 if content[at] == 2 else 4
                    number = int.from_bytes(content[at + 4 : at + 4 + wide], "big")
                    items.kind_at[number] = at + 6 + wide
                    items.kinds[number] = content[at + 6 + wide : at + 10 + wide]
        elif kind == b"idat":
            idat = first
        elif kind == b"iloc":
            places = (first, last)
        elif kind in _EMPTIED:
            _fill(written, first, last)
    if places is not None:
        _read_places(content, *places, idat, items)


def _read_places(content: bytes, at: int, end: int, idat: int, items: _Items) -> None:
    version = content[at]
    sizes = int.from_bytes(content[at + 4 : at + 6], "big")
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    at += 6
    number_size = 2 if version < 2 else 4

    def number(size: int) -> int:
        nonlocal at
        if at + size > end:
            raise ValueError("iloc ends early")
        at += size
        return int.from_bytes(content[at - size : at], "big")

    for _ in range(number(number_size)):
        item = number(number_size)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_size)
        for _ in range(number(2)):
            if version and index_size:
                number(index_size)
            start = base + number(offset_size) + (idat if method == 1 else 0)
            length = number(length_size)
            items.extents.setdefault(item, []).append((start, start + length if length else len(content)))


def _fill(written: bytearray, start: int, end: int) -> None:
    end = min(end, len(written))
    if start < end:
        written[start:end] = bytes(end - start)
