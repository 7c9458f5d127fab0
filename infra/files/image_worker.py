"""A process of its own that makes pictures anew: `python -m infra.files.image_worker`.

Pictures come from strangers and decoders have faults, so this happens where a fault harms nobody: with little memory,
no secrets, and a parent that ends it when it takes too long. A line of JSON in, `{"source", "folder", "content_type",
"decode"}`; a line out: `{"content_type", "width", "height"}` with the picture and a smaller one in the folder, or
`{"detail", "kept"}` where it is none that can be shown: `kept` then says whether it lies there without its notes.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence, UnidentifiedImageError

from infra.files.notes import FORMATS as WITH_NOTES
from infra.files.notes import without_notes
from infra.files.notes.orientation import ORIENTATION

MAX_PIXELS = 50_000_000
"""Of one frame: 150 to 200 MB while it is open."""
MAX_PIXELS_MOVING = 200_000_000
"""Of all frames together."""
MAX_PIXELS_CODED = {"PNG": 4_000_000, "WEBP": 4_000_000, "AVIF": 2_000_000}
"""Beyond, what is upright stays coded as it came, once it could be read: coding takes up to 0.4 µs of a core a pixel,
of AVIF 1 µs, and reading 0.05."""
MEMORY_BYTES = 2 * 1024**3
CPU_S = 20
"""For one picture."""
THUMBNAIL_PX = 640
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
_DEEP = {"I;16": 1 / 256, "I;16B": 1 / 256, "I;16L": 1 / 256, "I;16N": 1 / 256, "I": 1 / 256}
"""Modes of 16 bits for each grey, and what makes them 8."""
_KEPT = ("transparency",)
"""What of a still picture's notes is needed to draw it."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 92},
    "WEBP": {"quality": 90, "method": 2},
    # At its usual speed 12 megapixels take 5 s of a core to be a tenth smaller.
    "AVIF": {"quality": 80, "speed": 9, "max_threads": 1},
}

CONTENT = "picture"
THUMBNAIL = "thumbnail"


class Refused(Exception):
    """It cannot be made anew: it is too large, or damaged, or no picture after all."""


def make_anew(source: Path, folder: Path) -> dict[str, Any]:
    """Write the picture again without its notes, upright, and a smaller copy. Raises Refused."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            return _make_anew(source, image, folder)
    except Refused:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise Refused(f"this picture has over {MAX_PIXELS} pixels") from error
    except (
        *(UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, TypeError, ArithmeticError),
        *(IndexError, KeyError, RuntimeError),
    ) as error:
        raise Refused(f"this picture cannot be read: it may be damaged ({error})") from error


def keep(source: Path, folder: Path, content_type: str) -> bool:
    """Write the file again without its notes, as far as it can be read; whether it could."""
    if content_type not in WITH_NOTES:
        return False
    with suppress(ValueError, MemoryError):
        (folder / CONTENT).write_bytes(without_notes(source.read_bytes(), content_type))
        return True
    return False


def _make_anew(source: Path, image: Image.Image, folder: Path) -> dict[str, Any]:
    # The header tells the size: nothing has been unpacked yet.
    if image.width * image.height > MAX_PIXELS:
        raise Refused(f"a picture may have {MAX_PIXELS} pixels, this one has {image.width}x{image.height}")
    written = "JPEG" if image.format == "MPO" else str(image.format)
    frames = 1 if written == "JPEG" else getattr(image, "n_frames", 1)
    if frames > 1 and image.width * image.height * frames > MAX_PIXELS_MOVING:
        raise Refused(f"a moving picture may have {MAX_PIXELS_MOVING} pixels in all its frames")
    colours = image.info.get("icc_profile")
    target = folder / CONTENT
    turn = _TURNS.get(image.getexif().get(ORIENTATION, 1))
    is_large = image.width * image.height > MAX_PIXELS_CODED.get(written, MAX_PIXELS)
    if written == "GIF" or frames > 1 or (is_large and (turn is None or written == "AVIF")):
        first = _rewrite(source, image, turn, written, target)
    else:
        options = dict(_OPTIONS.get(written, {}))
        image.load()
        first = image if turn is None else image.transpose(turn)
        if is_large:
            options |= {"method": 0, "compress_level": 1}
        if image.format == "JPEG" and turn is None:
            options["quality"] = "keep"  # with its own tables hardly anything is lost
        first.info = {name: value for name, value in first.info.items() if name in _KEPT}
        if colours:
            options["icc_profile"] = colours
        first.save(target, written, **options)
    _thumbnail(first, folder / THUMBNAIL, colours)
    return {"content_type": f"image/{written.lower()}", "width": first.width, "height": first.height}


def _rewrite(source: Path, image: Image.Image, turn: Image.Transpose | None, written: str, target: Path) -> Image.Image:
    """Write a picture whose frames stay coded as they are, with their times and what becomes of each, once all of them
    could be read; its first frame, upright.

    Only what moves and lies on its side is coded anew: few programs that show it turn it.
    """
    is_turned = turn is not None and written != "AVIF"  # whose turn is no note but a part of the drawing, and stays
    first, turned, durations = None, [], []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        if first is None or is_turned:
            upright = frame.copy() if turn is None else frame.transpose(turn)
            if first is None:
                first = upright
            if is_turned:
                upright.info = {}
                turned.append(upright)
                durations.append(frame.info.get("duration", 0))
    if first is None:
        raise Refused("there is no frame")
    if is_turned:
        options: dict[str, Any] = {**_OPTIONS.get(written, {}), "loop": image.info.get("loop", 0)}
        if written == "PNG":
            options |= {"default_image": image.info.get("default_image", False), "disposal": 0, "blend": 0}
            if options["default_image"]:
                durations = durations[1:]
        if image.info.get("icc_profile"):
            options["icc_profile"] = image.info["icc_profile"]
        turned[0].save(target, written, save_all=True, append_images=turned[1:], duration=durations, **options)
    else:
        target.write_bytes(without_notes(source.read_bytes(), f"image/{written.lower()}"))
    return first


def _thumbnail(image: Image.Image, target: Path, colours: bytes | None) -> None:
    if image.mode in _DEEP:
        scale = _DEEP[image.mode]
        small = image.convert("I").point(lambda grey: grey * scale).convert("L").convert("RGB")
    else:
        small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small.info = {}
    # A profile describes the pixels it came with: of CMYK, say, it no longer does.
    options = {"icc_profile": colours} if colours and image.mode in ("RGB", "RGBA") else {}
    small.save(target, "WEBP", quality=80, **options)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """To one line; see the module."""
    source, folder, content_type = Path(asked["source"]), Path(asked["folder"]), asked["content_type"]
    detail = ""
    if asked["decode"]:
        try:
            return make_anew(source, folder)
        except Refused as refused:
            detail = str(refused)
    return {"detail": detail, "kept": keep(source, folder, content_type)}


def _limit_cpu() -> None:
    """Let the next picture have its seconds, and end this process beyond them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S + 1, hard))


def main() -> None:
    """Work off stdin until it ends."""
    os.nice(10)
    # Where memory runs out, this process goes and not the server.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # sizes are judged above, and what is damaged is told once
    for line in sys.stdin:
        _limit_cpu()
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
