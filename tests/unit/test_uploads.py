"""Reading uploads: any cut of the body gives the same file, and what is no upload gets a clear error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from urllib.parse import unquote

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from api.http.file_bytes import Content
from api.http.uploads import Upload, check_announced, clean_name
from commands.errors import BadJson, Invalid, TidingsError, TooLarge, UnknownField
from commands.files import MAX_FILE_BYTES
from commands.lines import line_fault

TYPE = "multipart/form-data; boundary=here"
PART = b'--here\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
END = b"\r\n--here--\r\n"


def request(chunks: Iterable[bytes], content_type: str = TYPE, **headers: str) -> Request:
    sent = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    sent.append({"type": "http.request", "body": b"", "more_body": False})
    waiting = iter(sent)

    async def receive() -> dict[str, object]:
        return next(waiting)

    lines = {"content-type": content_type, **headers}
    scope = {"type": "http", "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines.items()]}
    return Request(scope, receive)


async def read(chunks: Iterable[bytes], content_type: str = TYPE) -> tuple[str, bytes]:
    upload = Upload(request(chunks, content_type))
    await upload.start()
    return upload.name, b"".join([chunk async for chunk in upload.chunks()])


@given(st.binary(max_size=200), st.lists(st.integers(0, 500), max_size=12))
async def test_however_the_body_is_cut_the_file_is_the_same(content: bytes, cuts: list[int]) -> None:
    body = PART + content.replace(b"--here", b"-here") + END
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges) if end > start]
    assert await read(chunks) == ("a.txt", content.replace(b"--here", b"-here"))


@pytest.mark.parametrize(
    ("chunks", "content_type", "error"),
    [
        ([b"{}"], "application/json", BadJson),
        ([PART + b"x" + END], "multipart/form-data", BadJson),
        ([PART + b"x" + END], "multipart/mixed; boundary=here", BadJson),
        ([b"no boundary at all, and long enough to see that"], TYPE, BadJson),
        ([PART + b"half of it"], TYPE, BadJson),
        ([b"--here--\r\n"], TYPE, Invalid),
        ([], TYPE, Invalid),
        ([PART.replace(b'"file"', b'"picture"') + b"x" + END], TYPE, UnknownField),
        ([b"--here\r\nContent-Type: text/plain\r\n\r\nx" + END], TYPE, UnknownField),
        ([PART + b"x\r\n" + PART + b"y" + END], TYPE, Invalid),
        ([PART + b"x\r\n" + PART.replace(b'"file"', b'"more"') + b"y" + END], TYPE, UnknownField),
        ([b"--here\r\n" + b"X-A: b\r\n" * 9_000 + PART[8:] + b"x" + END], TYPE, TidingsError),
        ([b"preamble" * 9_000], TYPE, TidingsError),
    ],
)
async def test_what_is_no_upload_is_refused(chunks: list[bytes], content_type: str, error: type[TidingsError]) -> None:
    with pytest.raises(error):
        await read(chunks, content_type)


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("holiday.jpg", "holiday.jpg"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\a b.txt", "a b.txt"),
        ("..", "file"),
        ("", "file"),
        ("a\x00b\x1f\r\n.txt", "ab.txt"),
        ("say %22hi%22.txt", 'say "hi".txt'),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("cafe\u0301.txt", "café.txt"),
        ("사진.png", "사진.png"),
        ("👨\u200d👩\u200d👧.png", "👨\u200d👩\u200d👧.png"),
        ("می\u200cخواهم.pdf", "می\u200cخواهم.pdf"),  # noqa: RUF001
        ("🏴\U000e0067\U000e0062\U000e007f.txt", "🏴\U000e0067\U000e0062\U000e007f.txt"),
        (".gitignore", ".gitignore"),
        ("..profile", "..profile"),
        ("folder/.env", ".env"),
        (" . ", "file"),
        ("...", "file"),
        ("\u200d\u200b", "file"),
        ("name. .", "name"),
        ("\u2067a\u2069\x85\u2028b", "ab"),
    ],
)
def test_a_name_is_shown_without_what_could_deceive(given_name: str, shown: str) -> None:
    assert clean_name(given_name.encode()) == shown


def test_a_long_name_keeps_its_ending_and_whole_characters() -> None:
    name = clean_name(("é" * 300 + ".jpeg").encode())
    assert name.endswith("é.jpeg")
    assert 250 <= len(name.encode()) <= 255
    assert len(clean_name(b"x" * 999)) == 255


@given(st.text())
def test_any_name_becomes_one_that_can_be_shown_and_saved(text: str) -> None:
    name = clean_name(text.encode("utf-8", "replace"))
    assert line_fault(name) is None
    assert len(name.encode()) <= 255
    assert not set(name) & set("/\\")
    assert name not in (".", "..")
    assert clean_name(name.encode()) == name or "%" in name


@pytest.mark.parametrize("name", ["a.txt", "👨\u200d👩\u200d👧.png", 'a"b\\c%.txt', ".env", "a;b=c,'d'.txt", "é" * 100])
def test_a_name_comes_back_from_its_header(name: str) -> None:
    shown = Content("k", name, "text/plain", 1, '"e"', "no-store").disposition
    how, plain, whole = re.fullmatch(r"(\w+); filename=\"([^\"\\]*)\"; filename\*=UTF-8''(\S+)", shown).groups()  # type: ignore[union-attr]
    assert how == "attachment"
    assert plain.isascii()
    assert re.fullmatch(r"([A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+", whole)  # RFC 8187
    assert unquote(whole) == name


def test_what_says_itself_that_it_is_too_large_is_refused_at_once() -> None:
    check_announced(request([], **{"content-length": str(MAX_FILE_BYTES)}))
    check_announced(request([]))
    with pytest.raises(TooLarge):
        check_announced(request([], **{"content-length": str(MAX_FILE_BYTES + 100_000)}))
