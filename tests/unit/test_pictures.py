"""Pictures made anew: nothing of their notes is left, they stand upright, and what is not sound is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps, ImageSequence

from infra.files import image_worker
from infra.files.content_type import content_type
from infra.files.image_worker import Refused, make_anew
from tests.support.pictures import ROTATED, SECRET, moving, opened, picture, saved

KINDS = ["JPEG", "PNG", "GIF", "WEBP", "AVIF"]


def made(content: bytes, folder: Path) -> tuple[dict[str, object], bytes, bytes]:
    """What the worker says, the picture, and it in small."""
    source = folder / "upload"
    source.write_bytes(content)
    said = make_anew(source, folder)
    return said, (folder / image_worker.CONTENT).read_bytes(), (folder / image_worker.THUMBNAIL).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_was_noted_in_a_picture_is_left(kind: str, tmp_path: Path) -> None:
    given = picture(kind)
    assert SECRET in given
    said, content, small = made(given, tmp_path)
    assert said == {"content_type": f"image/{kind.lower()}", "width": 60, "height": 40}
    for each in (content, small):
        assert SECRET not in each
        assert not opened(each).getexif()
    assert opened(content).format == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_picture_is_turned_upright_and_says_so_of_its_size(kind: str, tmp_path: Path) -> None:
    said, content, small = made(picture(kind, orientation=ROTATED), tmp_path)
    assert (said["width"], said["height"]) == (40, 60)
    for each in (content, small):
        image = opened(each).convert("RGB")
        assert image.width < image.height
        top, bottom = image.getpixel((20, 5)), image.getpixel((20, 55))
        assert isinstance(top, tuple)
        assert isinstance(bottom, tuple)
        assert top[0] > 200 > 60 > top[2]
        assert bottom[2] > 200 > 60 > bottom[0]


def test_a_large_picture_is_small_in_small_and_keeps_its_shape(tmp_path: Path) -> None:
    said, content, small = made(picture(size=(3000, 1000)), tmp_path)
    assert opened(content).size == (said["width"], said["height"]) == (3000, 1000)
    assert opened(small).size == (640, 213)
    assert len(small) < 30_000


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_moving_picture_goes_on_moving_without_its_notes(kind: str, tmp_path: Path) -> None:
    _, content, small = made(moving(kind), tmp_path)
    assert getattr(opened(content), "n_frames", 1) == 3
    assert getattr(opened(small), "n_frames", 1) == 1
    assert SECRET not in content


def trailing(disposal: int) -> bytes:
    """A GIF in which a dot moves over nothing; what it leaves behind depends on how each frame goes."""
    images = []
    for index in range(4):
        image = Image.new("P", (40, 20), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.paste(1, (index * 10, 0, index * 10 + 10, 10))
        images.append(image)
    options: dict[str, Any] = {"duration": [40, 90, 200, 1000], "loop": 3, "disposal": disposal, "transparency": 0}
    return saved(images[0], "GIF", save_all=True, append_images=images[1:], optimize=False, **options)


def seen(content: bytes) -> list[tuple[bytes, int]]:
    """Every frame as it is seen, with its time in ms."""
    image = Image.open(io.BytesIO(content))
    shown = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        shown.append((frame.convert("RGBA").tobytes(), frame.info["duration"]))
    return shown


def striped(kind: str, **options: Any) -> bytes:
    images = [Image.new("RGB", (30, 20), (200, index * 80, 0)) for index in range(3)]
    for image in images:
        image.paste("blue", (0, 0, 15, 20))
    times = {"duration": [50, 300, 120], "loop": 2}
    return saved(images[0], kind, save_all=True, append_images=images[1:], **times, **options)


MOVING: dict[str, bytes] = {
    **{f"gif {disposal}": trailing(disposal) for disposal in (0, 1, 2, 3)},
    "gif": striped("GIF"),
    "webp": striped("WEBP"),
    "webp lossless": striped("WEBP", lossless=True),
    "avif": striped("AVIF"),
    "apng": striped("PNG"),
    "apng disposal": striped("PNG", disposal=[0, 1, 2], blend=[0, 1, 1]),
    "apng with a default": striped("PNG", default_image=True),
}


@pytest.mark.parametrize("name", MOVING)
def test_what_moves_goes_on_as_it_did(name: str, tmp_path: Path) -> None:
    given = MOVING[name]
    _, content, small = made(given, tmp_path)
    before, after = opened(given), opened(content)
    assert getattr(after, "n_frames", 1) == getattr(before, "n_frames", 1) >= 3
    assert after.info.get("loop") == before.info.get("loop")
    if "default" not in name:  # such a frame has no time
        assert seen(content) == seen(given)
    assert getattr(opened(small), "n_frames", 1) == 1


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_what_moves_is_turned_upright_too(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    given = striped(kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    said, content, small = made(given, tmp_path)
    assert SECRET not in content
    after, upright = opened(content), ImageOps.exif_transpose(opened(given))
    assert after.size == (said["width"], said["height"]) == upright.size
    assert not dict(after.getexif())
    assert [frame.info["duration"] for frame in frames_of(content)] == [50, 300, 120]
    assert after.info["loop"] == 2
    for image in (after, opened(small).resize(upright.size)):
        for corner in ((2, 2), (upright.width - 3, 2), (2, upright.height - 3)):
            found, right = image.convert("RGB").getpixel(corner), upright.convert("RGB").getpixel(corner)
            assert isinstance(found, tuple)
            assert isinstance(right, tuple)
            assert max(abs(one - other) for one, other in zip(found, right, strict=True)) < 40


def frames_of(content: bytes) -> list[Image.Image]:
    image = Image.open(io.BytesIO(content))
    shown = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        shown.append(frame.copy())
    return shown


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [1, ROTATED])
def test_what_is_costly_to_code_stays_coded_and_loses_its_notes(
    kind: str, orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(image_worker.MAX_PIXELS_CODED, kind, 60 * 40 - 1)
    given = picture(kind, orientation=orientation)
    said, content, small = made(given, tmp_path)
    before, after = ImageOps.exif_transpose(opened(given)), ImageOps.exif_transpose(opened(content))
    assert SECRET not in content
    assert (said["width"], said["height"]) == after.size == before.size == opened(small).size
    if orientation == 1 or kind != "WEBP":
        assert after.tobytes() == before.tobytes()
    assert set(dict(opened(content).getexif())) <= {0x0112}


def gradient(mode: str) -> Image.Image:
    """Dark on top, light below."""
    grey = Image.linear_gradient("L")
    if mode == "I;16":
        return grey.convert("I").point(lambda value: value * 257).convert("I;16")
    if mode in ("LA", "RGBA"):
        image = grey.convert(mode)
        image.putalpha(Image.new("L", image.size, 128))
        return image
    return grey.convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "I;16", {}),
        ("PNG", "I;16", {"transparency": 7}),
        ("PNG", "L", {}),
        ("PNG", "LA", {}),
        ("PNG", "1", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": 9}),
        ("PNG", "RGBA", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("WEBP", "RGBA", {}),
        ("AVIF", "L", {}),
        ("GIF", "P", {}),
    ],
)
def test_greys_and_colours_of_every_kind_are_the_same_in_small(
    kind: str, mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    given = saved(gradient(mode), kind, **options)
    _, content, small = made(given, tmp_path)
    assert opened(content).mode == opened(given).mode
    shown = opened(small).convert("L").resize((1, 4), Image.Resampling.BOX)
    for index, right in enumerate((32, 96, 159, 223)):
        pixel = shown.getpixel((0, index))
        assert isinstance(pixel, (int, float))
        assert abs(pixel - right) < 14


def test_transparency_stays(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(buffer, "PNG")
    _, content, small = made(buffer.getvalue(), tmp_path)
    for each in (content, small):
        pixel = opened(each).convert("RGBA").getpixel((5, 5))
        assert isinstance(pixel, tuple)
        assert pixel[3] == 0


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is very large, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [bomb(50_000, 50_000), bomb(7_100, 7_100), bomb(2**31 - 1, 2)])
def test_a_bomb_is_refused_before_it_is_unpacked(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="pixels"):
        made(content, tmp_path)


def test_a_moving_picture_may_not_have_any_number_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_worker, "MAX_PIXELS_MOVING", 30 * 20 * 3 - 1)
    with pytest.raises(Refused, match="frames"):
        made(moving(), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_picture_is_refused(kind: str, tmp_path: Path) -> None:
    content = picture(kind, (300, 200))
    with pytest.raises(Refused, match="damaged"):
        made(content[: len(content) // 2], tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_what_cannot_be_made_anew_is_kept_without_its_notes(kind: str, share: float, tmp_path: Path) -> None:
    content = picture(kind, (600, 400))
    (tmp_path / "upload").write_bytes(content[: int(len(content) * share)])
    content_type = f"image/{kind.lower()}"
    asked = {"source": str(tmp_path / "upload"), "folder": str(tmp_path), "content_type": content_type, "decode": True}
    said = image_worker.answer(asked)
    assert "width" not in said
    assert said["detail"]
    if said["kept"]:
        assert SECRET not in (tmp_path / image_worker.CONTENT).read_bytes()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(12_000, 9_000), (16_000, 3_600)])
def test_a_picture_beyond_the_limit_is_kept_as_it_is_without_its_notes(size: tuple[int, int], tmp_path: Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(noted(saved(Image.new("L", size, 90), "JPEG")))
    asked = {"source": str(source), "folder": str(tmp_path), "content_type": "image/jpeg", "decode": True}
    said = image_worker.answer(asked)
    assert said["kept"]
    assert "pixels" in said["detail"]
    content = (tmp_path / image_worker.CONTENT).read_bytes()
    assert SECRET not in content
    assert Image.open(io.BytesIO(content)).size == size
    assert content[-1000:] == source.read_bytes()[-1000:]


def noted(jpeg: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(SECRET) + 8) + b"Exif\0\0" + SECRET + jpeg[2:]


def test_what_other_decoders_of_the_library_read_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 5)).save(buffer, "EPS")
    with pytest.raises(Refused):
        made(buffer.getvalue(), tmp_path)


# --- types by content ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (picture("JPEG"), "image/jpeg"),
        (picture("JPEG")[:4], "image/jpeg"),
        (moving("AVIF"), "image/avif"),
        (saved(Image.new("RGB", (9, 9)), "TIFF"), "image/tiff"),
        (saved(Image.new("RGB", (9, 9)), "TIFF", big_tiff=True), "image/tiff"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50, "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"\0" * 50, "image/heic"),
        (saved(Image.new("RGB", (9, 9)), "JPEG2000"), "image/jp2"),
        (b"GIF89a is how a GIF begins\n", "text/plain"),
        (b"BM is how a bitmap begins\n", "text/plain"),
        (b"fLaC is a sign of sound\n", "text/plain"),
        (b"ID3 is a tag\n", "text/plain"),
        (picture("PNG"), "image/png"),
        (moving("GIF"), "image/gif"),
        (picture("WEBP"), "image/webp"),
        (picture("AVIF"), "image/avif"),
        (b"<!DOCTYPE html><html><script>alert(1)</script>", "text/html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "image/svg+xml"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
        (b"hello, world\n", "text/plain"),
        ("안녕하세요, 여러분".encode(), "text/plain"),
        ("é".encode() * 50 + b"\xc3", "text/plain"),
        (b"caf\xe9 au lait", "application/octet-stream"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08", "application/octet-stream"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 50, "video/mp4"),
    ],
)
def test_a_type_is_told_by_the_content(head: bytes, kind: str) -> None:
    assert content_type(head[:8192]) == kind
