"""Examining uploads: their type by content, and pictures in worker processes, which end when they take too long."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from commands.errors import Unavailable
from commands.files import Examined, Picture
from infra.files.content_type import HEAD_BYTES, content_type
from infra.files.image_worker import CONTENT, THUMBNAIL
from infra.files.notes import FORMATS
from infra.files.turns import Turns

PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"})
"""What is made anew; other pictures only lose their notes."""
PATIENCE_S = 20.0
WORKERS = 2
MAX_WAITING = 100
"""Pictures of one user."""
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
"""The worker sees no secrets."""

log = logging.getLogger(__name__)


class Examiner:
    """`workers` processes at most, each started when first needed. One user has all but one of them at most, and users
    are served in turns, so a picture waits for no more than one of each other user's."""

    def __init__(self, *, workers: int = WORKERS, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._turns = Turns(workers, max(1, workers - 1), MAX_WAITING)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()

    async def examine(self, path: Path, owner_id: str) -> Examined:
        """See `Examine`."""
        kind = await asyncio.to_thread(_type_of, path)
        if kind not in FORMATS:
            return Examined(kind)
        async with self._turns.turn(owner_id):
            answer = await self._ask(path, kind, decode=kind in PICTURES)
            if answer is None and kind in PICTURES:
                answer = await self._ask(path, kind, decode=False)
        if answer is None or "width" not in answer:
            detail, is_kept = ("its worker ended", False) if answer is None else (answer["detail"], answer["kept"])
            if detail:
                log.info("a picture is kept as a file: %s", detail)
            return Examined(kind, path.parent / CONTENT if is_kept else None)
        picture = Picture(path.parent / THUMBNAIL, int(str(answer["width"])), int(str(answer["height"])))
        return Examined(str(answer["content_type"]), path.parent / CONTENT, picture)

    async def close(self) -> None:
        """End the workers."""
        for process in list(self._all):
            await self._end(process)

    async def _ask(self, path: Path, kind: str, *, decode: bool) -> dict[str, object] | None:
        """What a worker says, None where it ended or had to be ended. Raises Unavailable."""
        process = self._idle.pop() if self._idle else await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        is_sound = False
        try:
            async with asyncio.timeout(self._patience_s):
                process.stdin.write(_line(path, kind, decode))
                await process.stdin.drain()
                line = await process.stdout.readline()
            is_sound = line.endswith(b"\n")
        except TimeoutError:
            log.warning("a picture took over %.0f s", self._patience_s)
        except ConnectionError:
            pass
        finally:
            if is_sound:
                self._idle.append(process)
            else:
                await self._end(process)
        if not is_sound:
            log.warning("a picture ended its worker, with status %s", process.returncode)
            return None
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


def _line(source: Path, kind: str, decode: bool) -> bytes:
    """What a worker is asked, with a path that also means the file in the worker's own folder."""
    source = source.absolute()
    asked = {"source": str(source), "folder": str(source.parent), "content_type": kind, "decode": decode}
    return json.dumps(asked).encode() + b"\n"


def _type_of(path: Path) -> str:
    with path.open("rb") as file:
        return content_type(file.read(HEAD_BYTES))
