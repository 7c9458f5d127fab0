"""Taking the notes out of a picture's file without decoding it: where it was taken, by whom, with what, and when.

For pictures that are not made anew from their pixels: because they are too large or damaged, because their format is
only kept, or because their frames are better left as they are. Each format has a module, which rewrites a file from
those of its parts that are needed to draw it and knows nothing of the others: a note in a part that nobody thought of
goes too. What cannot be read that way is left alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from infra.files.notes.boxes import without_notes as boxes
from infra.files.notes.gif import without_notes as gif
from infra.files.notes.jpeg import without_notes as jpeg
from infra.files.notes.png import without_notes as png
from infra.files.notes.tiff import without_notes as tiff
from infra.files.notes.webp import without_notes as webp

_FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "image/avif": boxes,
    "image/gif": gif,
    "image/heic": boxes,
    "image/jpeg": jpeg,
    "image/png": png,
    "image/tiff": tiff,
    "image/webp": webp,
}
FORMATS = frozenset(_FORMATS)


def without_notes(content: bytes, content_type: str) -> bytes:
    """The same picture without its notes. It still stands upright: its orientation stays. Raises ValueError."""
    try:
        return _FORMATS[content_type](content)
    except (struct.error, IndexError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"this is no {content_type}") from error
