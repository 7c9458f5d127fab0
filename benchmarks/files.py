"""Whether uploads need memory: many large ones at once against a real server, whose memory is watched meanwhile.

`./dev bench files`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import httpx
import typer

from benchmarks.kit.machine import describe, heading
from benchmarks.kit.output import progress, save, show, table
from tests.support.server import Server

_PIECE = 256 * 1024
_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Figures:
    """Memory in MiB, resident: before, and at most during the uploads."""

    uploads: int
    megabytes: int
    seconds: float
    before: float
    most: float


async def measure(server: Server, uploads: int, megabytes: int, done: asyncio.Queue[int] | None = None) -> Figures:
    """Send so many files of so many MB at once, by as many users. Raises AssertionError where one is not taken."""
    async with httpx.AsyncClient(
        base_url=server.url, timeout=600, limits=httpx.Limits(max_connections=uploads)
    ) as http:
        tokens = [await _register(http, number) for number in range(uploads)]
        await _send(http, tokens[0], 1)  # whatever is loaded with the first upload
        before = most = resident(server.pid)
        began = perf_counter()
        sending = [asyncio.create_task(_send(http, token, megabytes)) for token in tokens]
        waiting: set[asyncio.Task[None]] = set(sending)
        while waiting:
            finished, waiting = await asyncio.wait(waiting, timeout=_EVERY_S)
            most = max(most, resident(server.pid))
            for task in finished:
                task.result()
                if done is not None:
                    done.put_nowait(1)
        return Figures(uploads, megabytes, perf_counter() - began, before, most)


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _register(http: httpx.AsyncClient, number: int) -> str:
    body = {"username": f"sender{number}", "password": "long enough"}
    answer = await http.post("/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["access_token"])


async def _send(http: httpx.AsyncClient, token: str, megabytes: int) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
    tail = b"\r\n--b--\r\n"
    size = megabytes * 1024 * 1024
    piece = os.urandom(_PIECE)

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(size // _PIECE):
            yield piece
        yield tail

    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(len(head) + size + len(tail)),
    }
    answer = await http.post("/v1/files", content=body(), headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["size"] == size, answer.text


async def _run(uploads: int, megabytes: int) -> Figures:
    with (
        tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder,
        progress() as bar,
        Server(Path(folder) / "data") as server,
    ):
        task = bar.add_task("uploading", total=uploads)
        done: asyncio.Queue[int] = asyncio.Queue()

        async def watch() -> None:
            while True:
                bar.advance(task, await done.get())

        watching = asyncio.create_task(watch())
        try:
            return await measure(server, uploads, megabytes, done)
        finally:
            watching.cancel()


def main(
    uploads: Annotated[int, typer.Option(help="Files at once.", min=1, max=200)] = 20,
    megabytes: Annotated[int, typer.Option("--mb", help="Of each file.", min=1, max=100)] = 50,
    json: Annotated[Path | None, typer.Option(help="Also write the figures into this file.")] = None,
) -> None:
    """Upload large files at once and watch the server's memory."""
    figures = asyncio.run(_run(uploads, megabytes))
    rate = uploads * megabytes / figures.seconds
    rows = [
        [
            f"{uploads} x {megabytes} MB",
            f"{figures.seconds:.1f}",
            f"{rate:.0f}",
            f"{figures.before:.0f}",
            f"{figures.most:.0f}",
            f"{figures.most - figures.before:.0f}",
        ]
    ]
    columns = ["uploads", "seconds", "MB/s", "MiB before", "MiB at most", "MiB more"]
    show(heading(), table("Memory of a server during uploads", columns, rows))
    save(json, {"benchmark": "files", **describe(), "figures": asdict(figures)})


if __name__ == "__main__":
    typer.run(main)
