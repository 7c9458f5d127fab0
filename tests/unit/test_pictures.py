"""Pictures made anew: nothing of their notes is left, they stand upright, and what is not sound is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from infra.files import image_worker
from infra.files.content_type import content_type
from infra.files.image_worker import Refused, make_anew
from tests.support.pictures import ROTATED, SECRET, moving, opened, picture

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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
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
    with pytest.raises(Refused) as refused:
        made(content, tmp_path)
    assert refused.value.code == "too_large"


def test_a_moving_picture_may_not_have_any_number_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_worker, "MAX_PIXELS_MOVING", 30 * 20 * 3 - 1)
    with pytest.raises(Refused) as refused:
        made(moving(), tmp_path)
    assert refused.value.code == "too_large"


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_picture_is_refused(kind: str, tmp_path: Path) -> None:
    content = picture(kind, (300, 200))
    with pytest.raises(Refused) as refused:
        made(content[: len(content) // 2], tmp_path)
    assert refused.value.code == "invalid"


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
