"""A process of its own that makes pictures anew: `python -m infra.files.image_worker`.

Pictures come from strangers and decoders have faults, so this happens where a fault harms nobody: with little memory,
no secrets, and a parent that ends it when it takes too long. A line of JSON in, `{"source", "folder"}`; a line out:
`{"content_type", "width", "height"}`, or `{"code", "detail"}` where it is refused.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

MAX_PIXELS = 50_000_000
"""Of one frame: 150 to 200 MB while it is open."""
MAX_PIXELS_MOVING = 200_000_000
"""Of all frames together."""
MEMORY_BYTES = 2 * 1024**3
THUMBNAIL_PX = 640
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
_ORIENTATION = 0x0112
_KEPT = ("transparency", "duration", "loop", "background", "disposal", "default_image")
"""What of a picture's notes is needed to draw it."""

CONTENT = "picture"
THUMBNAIL = "thumbnail"


class Refused(Exception):
    """`code` is that of the client contract."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def make_anew(source: Path, folder: Path) -> dict[str, Any]:
    """Write the picture again from its pixels, upright, and a smaller copy. Raises Refused."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            return _make_anew(image, folder)
    except Refused:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise Refused("too_large", f"this picture has over {MAX_PIXELS} pixels") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, TypeError, ArithmeticError) as error:
        raise Refused("invalid", f"this picture cannot be read: it may be damaged ({error})") from error


def _make_anew(image: Image.Image, folder: Path) -> dict[str, Any]:
    # The header tells the size: nothing has been unpacked yet.
    if image.width * image.height > MAX_PIXELS:
        raise Refused("too_large", f"a picture may have {MAX_PIXELS} pixels, this one has {image.width}x{image.height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.width * image.height * frames > MAX_PIXELS_MOVING:
        raise Refused("too_large", f"a moving picture may have {MAX_PIXELS_MOVING} pixels in all its frames")
    written = "JPEG" if image.format == "MPO" else str(image.format)
    colours = image.info.get("icc_profile")
    options: dict[str, Any] = {"icc_profile": colours} if colours and written != "GIF" else {}
    target = folder / CONTENT
    if frames > 1 and written != "JPEG":
        first = image.copy()
        if written == "GIF":
            options["comment"] = b""
        for frame in ImageSequence.Iterator(image):
            frame.load()  # all of it is read before any is written: a broken frame refuses the picture
        image.seek(0)
        image.save(target, written, save_all=True, **options)
    else:
        image.load()
        if image.getexif().get(_ORIENTATION, 1) != 1:
            first = ImageOps.exif_transpose(image)
            first.info = {}
            if written == "JPEG":
                options["quality"] = 92
        else:
            first = image
            if image.format == "JPEG":
                options["quality"] = "keep"
            elif written == "JPEG":
                options["quality"] = 92
        first.info = {name: value for name, value in first.info.items() if name in _KEPT}
        if written == "WEBP":
            options["quality"] = 90
        first.save(target, written, **options)
    _thumbnail(first, folder / THUMBNAIL, colours)
    return {"content_type": f"image/{written.lower()}", "width": first.width, "height": first.height}


def _thumbnail(image: Image.Image, target: Path, colours: bytes | None) -> None:
    small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small.info = {}
    # A profile describes the pixels it came with: of CMYK, say, it no longer does.
    options = {"icc_profile": colours} if colours and image.mode in ("RGB", "RGBA") else {}
    small.save(target, "WEBP", quality=80, **options)


def main() -> None:
    """Work off stdin until it ends."""
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are judged above
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = make_anew(Path(asked["source"]), Path(asked["folder"]))
        except Refused as refused:
            answer = {"code": refused.code, "detail": str(refused)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
