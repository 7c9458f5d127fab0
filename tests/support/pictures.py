"""Pictures as phones make them, with notes that must not leave the server."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, PngImagePlugin

SECRET = b"SecretPlace"
"""Stands in every note of the pictures made here."""
ROTATED = 6
"""Orientation: the left edge is up."""


def picture(kind: str = "JPEG", size: tuple[int, int] = (60, 40), *, orientation: int = 1, notes: bool = True) -> bytes:
    """Red on the left, blue on the right; with a place, a text and a comment in every way that the format knows."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    options: dict[str, Any] = {}
    if notes or orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        if notes:
            exif[0x010E] = SECRET.decode()
            exif.get_ifd(0x8825)[29] = SECRET.decode()
            options["comment"] = SECRET
            options["xmp"] = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"
        options["exif"] = exif
    if kind == "PNG" and notes:
        text = PngImagePlugin.PngInfo()
        text.add_text("Location", SECRET.decode())
        options["pnginfo"] = text
    if kind in ("GIF", "PNG"):
        options.pop("xmp", None)
    return saved(image, kind, **options)


def moving(kind: str = "GIF", frames: int = 3, size: tuple[int, int] = (30, 20)) -> bytes:
    """A picture that moves."""
    images = [Image.new("RGB", size, (index * 60, 0, 0)) for index in range(frames)]
    options: dict[str, Any] = {"comment": SECRET} if kind == "GIF" else {}
    return saved(images[0], kind, save_all=True, append_images=images[1:], duration=[100] * frames, loop=0, **options)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
