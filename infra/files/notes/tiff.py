"""TIFF 6.0 and BigTIFF: directories of tags, which say where everything lies.

Positions are absolute, so nothing may move: what no tag that is needed to draw points to is overwritten.
"""

from __future__ import annotations

import struct

from infra.files.notes.boxes import Span, holes

_DRAWN = frozenset(
    {*range(254, 260), 262, 263, 266, 273, 274, *range(277, 285), *range(290, 294), 296, 297, 301, *range(317, 326)}
    | {330, 332, 334, 336, *range(338, 342), 347, *range(512, 522), *range(529, 533), 34675}
)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SUB_DIRECTORIES = 330
_PIXELS = {273: 279, 324: 325, 513: 514}
"""Tags of places, with those of lengths."""
_TABLES = (519, 520, 521)
_TABLE_BYTES = 256
_COMPRESSION, _PHOTOMETRIC = 259, 262
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 33003, 33005, 34712, 34925, 50000, 50001, 50002})
_SENSORS = frozenset({32803, 34892})
"""Colours that are not yet developed."""
_DATA = frozenset({50706, 34735})
"""Of digital negatives, and of maps, whose content the place is: without their tags they are worth nothing."""
_MAX_DIRECTORIES = 10_000


def without_notes(content: bytes) -> bytes:
    """Raises ValueError, also for raw photos and maps, which would be of no use without theirs."""
    if content[8:10] == b"CR":
        raise ValueError("a raw photo needs its tags")
    return _Tiff(content).written()


class _Tiff:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._order = {b"II": "<", b"MM": ">"}[content[:2]]
        (magic,) = struct.unpack_from(f"{self._order}H", content, 2)
        if magic not in (42, 43):
            raise ValueError("no TIFF")
        self._big = magic == 43
        self._kept: list[Span] = [(0, 16 if self._big else 8)]
        self._new: list[tuple[int, bytes]] = []
        self._todo = [self._number(8, "Q") if self._big else self._number(4, "I")]

    def written(self) -> bytes:
        seen: set[int] = set()
        while self._todo:
            at = self._todo.pop()
            if at and at not in seen:
                if len(seen) >= _MAX_DIRECTORIES:
                    raise ValueError("there are too many directories")
                seen.add(at)
                self._read_directory(at)
        written = bytearray(len(self._content))
        kept = list(holes(0, len(written), list(holes(0, len(written), self._kept))))
        for start, end in kept:
            written[start:end] = self._content[start:end]
        for at, entries in self._new:
            written[at : at + len(entries)] = entries
        return bytes(written)

    def _number(self, at: int, letter: str) -> int:
        number: int = struct.unpack_from(self._order + letter, self._content, at)[0]
        return number

    def _read_directory(self, at: int) -> None:
        head, width, letter = (8, 20, "Q") if self._big else (2, 12, "I")
        count = self._number(at, "Q" if self._big else "H")
        behind = at + head + count * width
        following = self._number(behind, letter)
        entries, values = [], dict[int, list[int]]()
        for start in range(at + head, behind, width):
            tag = self._number(start, "H")
            if tag in _DATA:
                raise ValueError("a raw photo or a map needs its tags")
            if tag in _DRAWN:
                entries.append(self._content[start : start + width])
                values[tag] = self._read_values(start)
        if _SENSORS.intersection(values.get(_PHOTOMETRIC, ())) or not _COMPRESSIONS.issuperset(
            values.get(_COMPRESSION, ())
        ):
            raise ValueError("a raw photo needs its tags")
        for tag, lengths in _PIXELS.items():
            for place, length in zip(values.get(tag, ()), values.get(lengths, ()), strict=False):
                self._kept.append((place, place + length))
        for tag in _TABLES:
            self._kept += [(place, place + _TABLE_BYTES) for place in values.get(tag, ())]
        self._todo += [following, *values.get(_SUB_DIRECTORIES, ())]
        packed = struct.pack(self._order + ("Q" if self._big else "H"), len(entries)) + b"".join(entries)
        packed += struct.pack(self._order + letter, following)
        self._kept.append((at, behind + struct.calcsize(letter)))
        self._new.append((at, packed.ljust(behind + struct.calcsize(letter) - at, b"\0")))

    def _read_values(self, start: int) -> list[int]:
        """Of an entry; empty where they are no numbers. Notes where they lie."""
        kind = self._number(start + 2, "H")
        count, at, room = (
            (self._number(start + 4, "Q"), start + 12, 8) if self._big else (self._number(start + 4, "I"), start + 8, 4)
        )
        size = _SIZES[kind] * count
        if size > room:
            at = self._number(at, "Q" if self._big else "I")
            self._kept.append((at, at + size))
        if at + size > len(self._content):
            raise ValueError("a value lies outside of the file")
        return (
            list(struct.unpack_from(f"{self._order}{count}{_LETTERS[kind]}", self._content, at))
            if kind in _LETTERS
            else []
        )
