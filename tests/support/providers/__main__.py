"""Both providers in a process of their own: `python -m tests.support.providers FOLDER`.

Keys are made in the folder. It prints one line of JSON with both addresses, and for each line on stdin one with what
was accepted so far: `{"accepted": …, "different": …}`. It ends with stdin.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from tests.support.providers.apple import apple
from tests.support.providers.google import google
from tests.support.providers.keys import Keys, make_keys

ROOT = Path(__file__).resolve().parents[3]


class Providers:
    """The process, from outside."""

    def __init__(self, process: asyncio.subprocess.Process, keys: Keys, urls: dict[str, str]) -> None:
        self.process = process
        self.keys = keys
        self.apple, self.google = urls["apple"], urls["google"]

    async def counts(self) -> dict[str, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        read: dict[str, int] = json.loads(await self.process.stdout.readline())
        return read


@asynccontextmanager
async def providers(folder: Path) -> AsyncIterator[Providers]:
    """Both, running."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.providers", str(folder), cwd=ROOT, stdin=subprocess.PIPE, stdout=-1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Providers(process, Keys(folder), json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


async def serve(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    keys = make_keys(folder)
    async with apple(keys) as its, google(keys) as googles:
        its.streams = 1_000
        its.ledger.keep = googles.ledger.keep = False
        print(json.dumps({"apple": its.url, "google": googles.url}), flush=True)
        while await asked.readline():
            both = (its.ledger.counts, googles.ledger.counts)
            counts = {"accepted": sum(map(sum, (each.values() for each in both))), "different": sum(map(len, both))}
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
