"""HTTP/2 as we speak it, read by `h2` and `hpack`, which speak all of it; and what they say, cut up in every way."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from infra.push.frames import (
    MAX_FRAME,
    PREFACE,
    Blocks,
    Fields,
    Flag,
    Frames,
    FramingError,
    Kind,
    Setting,
    frame,
    number_of,
    request,
    settings,
    settings_of,
    unpadded,
)

SHARED = ((":method", "POST"), (":scheme", "https"), (":authority", "localhost"), ("apns-topic", "app"))


def read(headers: Iterable[Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers or ()}


def own(at: int) -> Fields:
    return (("apns-id", f"id-{at}"), ("apns-collapse-id", "c" * at))


@given(st.lists(st.integers(1, 400)), st.sampled_from([0, 40, 100, 4096]), st.integers(0, 3))
def test_any_reader_reads_what_was_written(lengths: list[int], table: int, resized_at: int) -> None:
    blocks, reader = Blocks(), Decoder()
    for at, length in enumerate(lengths):
        if at == resized_at:
            blocks.resize(table)
            reader.max_allowed_table_size = max(table, 4096)
        shared = (*SHARED, ("authorization", f"bearer {at // 3}"))
        block = blocks.encode("/" + "p" * length, shared, own(length))
        assert read(reader.decode(block)) == dict((*shared, (":path", "/" + "p" * length), *own(length)))


def test_what_requests_share_is_a_byte_each_from_the_second_on() -> None:
    blocks = Blocks()
    sizes = [len(blocks.encode("/p", SHARED, ())) for _ in range(3)]
    assert sizes[0] > sizes[1] == sizes[2] == len(SHARED) + len(b"\x10\x05:path\x02/p")


def test_a_server_takes_our_requests_for_what_they_are() -> None:
    server, blocks = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8")), Blocks()
    server.initiate_connection()
    server.receive_data(PREFACE + frame(Kind.SETTINGS, 0, 0, settings([(Setting.ENABLE_PUSH, 0)])))
    for stream in (1, 3, 5):
        events = server.receive_data(request(stream, blocks.encode("/x", SHARED, own(stream)), b"body"))
        asked, data, end = events
        assert isinstance(asked, RequestReceived)
        assert read(asked.headers) == dict((*SHARED, (":path", "/x"), *own(stream)))
        assert isinstance(data, DataReceived)
        assert data.data == b"body"
        assert isinstance(end, StreamEnded)


@given(st.data())
def test_frames_are_the_same_wherever_the_bytes_are_cut(data: st.DataObject) -> None:
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    said = server.data_to_send()
    block = Encoder().encode([(":status", "200"), ("apns-id", "x" * 100)])
    parts = [block[:10], block[10:60], block[60:]]
    padded = b"\x03" + b"\x00\x00\x00\x01\x10" + parts[0] + b"\x00" * 3
    said += frame(Kind.HEADERS, Flag.PADDED | Flag.PRIORITY | Flag.END_STREAM, 7, padded)
    said += frame(Kind.CONTINUATION, 0, 7, parts[1]) + frame(Kind.CONTINUATION, Flag.END_HEADERS, 7, parts[2])
    said += frame(Kind.DATA, Flag.PADDED, 9, b"\x02abc\x00\x00")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=6)))
    frames, found = Frames(), []
    for start, end in pairwise([0, *cuts, len(said)]):
        found += list(frames.feed(said[start:end]))
    kinds = [kind for kind, *_ in found]
    assert kinds == [Kind.SETTINGS, Kind.HEADERS, Kind.DATA]
    assert Setting.MAX_CONCURRENT_STREAMS in settings_of(found[0][3])
    _, flags, stream, whole = found[1]
    assert (flags & Flag.END_STREAM, stream, whole) == (Flag.END_STREAM, 7, block)
    assert Blocks().decode(whole) == {":status": "200", "apns-id": "x" * 100}
    assert unpadded(found[2][1], found[2][3]) == b"abc"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (frame(Kind.DATA, 0, 1, b"x" * (MAX_FRAME + 1)), "bytes"),
        (frame(Kind.HEADERS, 0, 1, b"x") + frame(Kind.DATA, 0, 1, b"x"), "middle of headers"),
        (frame(Kind.HEADERS, 0, 1, b"x") + frame(Kind.CONTINUATION, Flag.END_HEADERS, 3, b"x"), "middle of headers"),
        (frame(Kind.HEADERS, 0, 1, b"x") + frame(Kind.CONTINUATION, 0, 1, b"x" * MAX_FRAME) * 4, "without an end"),
        (frame(Kind.HEADERS, Flag.END_HEADERS | Flag.PADDED, 1, b"\x05abc"), "padding"),
    ],
)
def test_what_breaks_the_protocol_is_said(said: bytes, complaint: str) -> None:
    with pytest.raises(FramingError, match=complaint):
        list(Frames().feed(said))


def test_payloads_that_end_too_soon_are_said() -> None:
    with pytest.raises(FramingError, match="middle"):
        settings_of(b"abcdefgh")
    with pytest.raises(FramingError, match="too short"):
        number_of(b"abc")
    with pytest.raises(FramingError, match="cannot be read"):
        Blocks().decode(b"\xff\xff\xff\xff\xff\xff")
