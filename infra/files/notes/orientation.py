"""Which way up a picture is: the one note that is needed to draw it (Exif 2.32, tag 0x0112)."""

from __future__ import annotations

from PIL import Image

ORIENTATION = 0x0112


def only_orientation(exif: bytes) -> bytes:
    """Exif that says nothing but the orientation, empty where the picture is upright. Starts with `Exif\\0\\0`."""
    read = Image.Exif()
    try:
        read.load(exif)
        orientation = read.get(ORIENTATION, 1)
    except Exception:  # a stranger's bytes, read by a library: whatever it raises, nothing is said there
        return b""
    if not isinstance(orientation, int) or not 2 <= orientation <= 8:
        return b""
    written = Image.Exif()
    written[ORIENTATION] = orientation
    return written.tobytes()
