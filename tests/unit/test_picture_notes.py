"""Notes are taken out of every kind of file without decoding it, and it still shows the same."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence, PngImagePlugin, TiffImagePlugin

from infra.files.notes import FORMATS, without_notes
from tests.support.pictures import ROTATED, SECRET, moving, opened, picture, saved

GPS_IFD, EXIF_IFD, ORIENTATION = 0x8825, 0x8769, 0x0112


def tiff(mode: str = "RGB", **options: Any) -> bytes:
    """A TIFF with notes wherever they may stand."""
    image = Image.new(mode, (60, 40), 200)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (270, 271, 272, 305, 306, 315, 316, 33432):
        tags[tag] = SECRET.decode()
    for tag in (700, 33723, 34377, 37500, 50000):
        tags.tagtype[tag] = 7
        tags[tag] = SECRET * 3
    return saved(image, "TIFF", tiffinfo=tags, exif=None, **options) + SECRET


def exif_tiff() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(GPS_IFD)[29] = SECRET.decode()
    exif.get_ifd(EXIF_IFD)[37510] = SECRET
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (GPS_IFD, EXIF_IFD):
        tags[tag] = dict(exif.get_ifd(tag))
    return saved(Image.new("RGB", (60, 40), "red"), "TIFF", tiffinfo=tags)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def noted_png(content: bytes) -> bytes:
    """With every chunk that may hold a text, before and after the pixels, and something behind the end."""
    notes = b"".join(
        png_chunk(name, b"Location\0\0\0\0\0" + SECRET)
        for name in (b"tEXt", b"iTXt", b"sPLT", b"prVt", b"caBX", b"vpAg")
    )
    assert content.endswith(png_chunk(b"IEND", b""))
    return content[:33] + notes + content[33:-12] + notes + content[-12:] + SECRET


def noted_jpeg(content: bytes) -> bytes:
    """With every segment of applications, and something behind the end."""
    segments = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(SECRET) + 10) + b"Maker\0\0\0" + SECRET
        for marker in (*range(0xE0, 0xF0), 0xFE)
    )
    return content[:2] + segments + content[2:] + SECRET


def noted_gif(content: bytes) -> bytes:
    def extension(label: int, *blocks: bytes) -> bytes:
        return bytes([0x21, label]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"

    at = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    notes = extension(0xFE, SECRET) + extension(0xFF, b"XMP DataXMP", SECRET) + extension(0x01, b"\0" * 12, SECRET)
    notes += extension(0xFF, b"NETSCAPE2.0", b"\x02" + SECRET)
    return content[:at] + notes + content[at:-1] + notes + b";" + SECRET


def noted_webp(content: bytes) -> bytes:
    extra = b"".join(name + struct.pack("<I", len(SECRET)) + SECRET + b"\0" * (len(SECRET) % 2) for name in (b"NOTE",))
    body = content[8:] + extra
    return b"RIFF" + struct.pack("<I", len(body)) + body + SECRET


def noted_boxes(content: bytes) -> bytes:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    return content + b"".join(box(kind, SECRET * 2) for kind in (b"uuid", b"free", b"skip", b"udta", b"mdat", b"note"))


FILES: dict[str, tuple[str, bytes]] = {
    "jpeg": ("image/jpeg", noted_jpeg(picture("JPEG"))),
    "jpeg progressive": (
        "image/jpeg",
        noted_jpeg(saved(Image.radial_gradient("L").convert("RGB"), "JPEG", progressive=True, comment=SECRET)),
    ),
    "jpeg cmyk": ("image/jpeg", noted_jpeg(saved(Image.new("CMYK", (60, 40), (9, 90, 200, 30)), "JPEG"))),
    "jpeg with restarts": (
        "image/jpeg",
        noted_jpeg(saved(Image.radial_gradient("L"), "JPEG", restart_marker_blocks=1, comment=SECRET)),
    ),
    "png": ("image/png", noted_png(picture("PNG"))),
    "png 16": ("image/png", noted_png(saved(Image.linear_gradient("L").convert("I;16"), "PNG"))),
    "png palette": ("image/png", noted_png(saved(Image.new("P", (9, 9), 3), "PNG", transparency=3))),
    "apng": ("image/png", noted_png(moving("PNG"))),
    "gif": ("image/gif", noted_gif(picture("GIF"))),
    "gif moving": ("image/gif", noted_gif(moving("GIF"))),
    "webp": ("image/webp", noted_webp(picture("WEBP"))),
    "webp moving": ("image/webp", noted_webp(moving("WEBP"))),
    "avif": ("image/avif", noted_boxes(picture("AVIF"))),
    "avif moving": ("image/avif", noted_boxes(moving("AVIF"))),
    "tiff": ("image/tiff", tiff()),
    "tiff lzw": ("image/tiff", tiff(compression="tiff_lzw")),
    "tiff jpeg": ("image/tiff", tiff(compression="jpeg")),
    "tiff grey": ("image/tiff", tiff("L", compression="tiff_deflate")),
    "tiff fax": ("image/tiff", tiff("1", compression="group4")),
    "tiff big": ("image/tiff", tiff(big_tiff=True)),
    "tiff exif": ("image/tiff", exif_tiff()),
    "tiff pages": (
        "image/tiff",
        saved(Image.new("L", (9, 9), 7), "TIFF", save_all=True, append_images=[Image.new("L", (5, 5), 90)]) + SECRET,
    ),
}


def frames(content: bytes) -> list[tuple[bytes, tuple[int, int], object]]:
    image = Image.open(io.BytesIO(content))
    shown = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        shown.append((frame.convert("RGBA").tobytes(), frame.size, frame.info.get("duration")))
    return shown


@pytest.mark.parametrize("name", FILES)
def test_every_note_goes_and_nothing_else(name: str) -> None:
    kind, given_file = FILES[name]
    assert SECRET in given_file
    content = without_notes(given_file, kind)
    assert SECRET not in content
    assert frames(content) == frames(given_file)
    image, before = opened(content), opened(given_file)
    assert image.mode == before.mode
    assert image.info.get("loop") == before.info.get("loop")
    assert not set(dict(image.getexif())) - set(range(254, 348)) - {34675}
    assert not image.getexif().get_ifd(GPS_IFD)
    assert not image.getexif().get_ifd(EXIF_IFD)
    assert "xmp" not in image.info
    assert "comment" not in image.info
    if content[12:16] == b"VP8X":
        assert not content[20] & 0x0C  # nor does it say that there is one
    assert without_notes(content, kind) == content


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_lies_on_its_side_still_says_so_and_nothing_else(kind: str) -> None:
    content = without_notes(picture(kind, orientation=ROTATED), f"image/{kind.lower()}")
    assert SECRET not in content
    assert dict(opened(content).getexif()) == {ORIENTATION: ROTATED}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("share", [0.9, 0.6])
def test_a_file_that_broke_off_loses_its_notes_all_the_same(kind: str, share: float) -> None:
    whole = picture(kind, (600, 400))
    assert SECRET in whole[: int(len(whole) * share)]
    assert SECRET not in without_notes(whole[: int(len(whole) * share)], f"image/{kind.lower()}")


def test_colours_stay() -> None:
    profile = b"a profile" * 9
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        content = saved(Image.new("RGB", (9, 9)), kind, icc_profile=profile)
        assert opened(without_notes(content, f"image/{kind.lower()}")).info["icc_profile"] == profile


def raw(tags: dict[int, object], head: bytes = b"") -> bytes:
    content = saved(Image.new("L", (9, 9)), "TIFF", tiffinfo=tags)
    for tag in (259, 262):
        if tag in tags:
            at = content.index(struct.pack("<HHI", tag, 3, 1))
            content = content[: at + 8] + struct.pack("<H", tags[tag]) + content[at + 10 :]
    return content[:8] + head + content[8 + len(head) :]


@pytest.mark.parametrize(
    "content",
    [
        raw({50706: b"\1\4\0\0"}),
        raw({262: 32803}),
        raw({259: 34713}),
        raw({34735: (1, 1, 0)}),
        b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 90,
    ],
    ids=["DNG", "colours of a sensor", "NEF", "GeoTIFF", "CR2"],
)
def test_what_would_be_worth_nothing_without_its_tags_is_left_alone(content: bytes) -> None:
    with pytest.raises(ValueError, match="needs its tags"):
        without_notes(content, "image/tiff")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("image/gif", b"GIF89a\0\1\2 is how something else begins"),
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\1 and then something else"),
        ("image/webp", b"RIFF\x40\0\0\0WEBPNOTE\4\0\0\0else"),
        ("image/jpeg", b"\xff\xd8\xff\0 is how something else begins"),
        ("image/heic", b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\x10mdatabcdefgh"),
    ],
)
def test_what_only_begins_like_a_picture_is_left_alone(kind: str, content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        without_notes(content, kind)


@pytest.mark.parametrize("kind", sorted(FORMATS))
@pytest.mark.parametrize("content", [b"", b"x" * 40, b"II*\0\x08\0\0\0\xff\xff", b"\0\0\0\x02ftypheic" + b"\0" * 30])
def test_what_is_something_else_is_told(kind: str, content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        without_notes(content, kind)


@settings(max_examples=200, deadline=500)
@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=20))
def test_damage_does_no_more_than_a_refusal(name: str, changes: list[tuple[int, int]]) -> None:
    kind, content = FILES[name]
    damaged = bytearray(content)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    with suppress(ValueError):
        assert len(without_notes(bytes(damaged), kind)) <= len(damaged) + 100


def test_a_text_in_a_png_is_found_there() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Location", SECRET.decode(), zip=True)
    content = saved(Image.new("RGB", (9, 9)), "PNG", pnginfo=text)
    assert opened(content).info["Location"] == SECRET.decode()
    assert "Location" not in opened(without_notes(content, "image/png")).info
