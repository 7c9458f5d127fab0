"""Uploads are streamed: a server's memory does not grow with what is sent to it. `./dev bench files` tries it with
20 uploads of 50 MB."""

from __future__ import annotations

from benchmarks.files import measure
from tests.live.conftest import MakeServer

UPLOADS, MEGABYTES = 8, 25


async def test_memory_stays_flat_while_large_files_come_in_at_once(make_server: MakeServer) -> None:
    with make_server() as server:
        figures = await measure(server, UPLOADS, MEGABYTES)
        kept = sum(path.stat().st_size for path in (server.data / "files").rglob("*.content"))
    assert kept == (UPLOADS * MEGABYTES + 1) * 1024 * 1024
    # A megabyte and a few pieces for each upload under way; held whole they would be 200.
    assert figures.most - figures.before < UPLOADS * 3 + 16
