"""Examining uploads: their type by content, and pictures in worker processes, which end when they take too long."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from commands.errors import Invalid, Unavailable, error_for
from commands.files import Examined, Picture
from infra.files.content_type import HEAD_BYTES, content_type
from infra.files.image_worker import CONTENT, THUMBNAIL

PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/apng"})
PATIENCE_S = 20.0
WORKERS = 2
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
"""The worker sees no secrets."""

log = logging.getLogger(__name__)


class Examiner:
    """`workers` processes at most, each started when first needed."""

    def __init__(self, *, workers: int = WORKERS, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._free = asyncio.Semaphore(workers)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()

    async def examine(self, path: Path) -> Examined:
        """See `Examine`."""
        kind = await asyncio.to_thread(_type_of, path)
        if kind not in PICTURES:
            return Examined(kind)
        async with self._free:
            answer = await self._ask(path)
        if "code" in answer:
            raise error_for(str(answer["code"]), str(answer["detail"]))
        picture = Picture(
            path.parent / CONTENT,
            path.parent / THUMBNAIL,
            str(answer["content_type"]),
            int(str(answer["width"])),
            int(str(answer["height"])),
        )
        return Examined(picture.content_type, picture)

    async def close(self) -> None:
        """End the workers."""
        for process in list(self._all):
            await self._end(process)

    async def _ask(self, path: Path) -> dict[str, object]:
        process = self._idle.pop() if self._idle else await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        is_sound = False
        try:
            async with asyncio.timeout(self._patience_s):
                process.stdin.write(json.dumps({"source": str(path), "folder": str(path.parent)}).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            is_sound = line.endswith(b"\n")
        except TimeoutError as error:
            log.warning("a picture took over %.0f s", self._patience_s)
            raise Invalid("this picture takes too long to read") from error
        except ConnectionError:
            line = b""
        finally:
            if is_sound:
                self._idle.append(process)
            else:
                await self._end(process)
        if not is_sound:
            log.warning("a picture ended its worker, with status %s", process.returncode)
            raise Invalid("this picture cannot be read")
        answer: dict[str, object] = json.loads(line)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "infra.files.image_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
                cwd=Path(__file__).parents[2],
            )
        except OSError as error:
            raise Unavailable("pictures cannot be read right now") from error
        self._all.add(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


def _type_of(path: Path) -> str:
    with path.open("rb") as file:
        return content_type(file.read(HEAD_BYTES))
