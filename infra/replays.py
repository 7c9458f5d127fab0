"""Where a replay can go: another topic, a log of its own in a folder, or whoever takes lines of JSON over HTTP.

Never where the live system writes: that would happen a second time, for everybody.
"""

from __future__ import annotations

import asyncio
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from commands.errors import TidingsError, Unavailable
from commands.ports import Appended
from events.log import CHAT_TOPIC, DEAD_LETTERS_TOPIC, NOTIFICATIONS_TOPIC, Position, Record
from infra.cli.faults import Fault
from infra.cli.lines import Filter, as_json, shown
from infra.layout import log_file
from infra.settings import Settings
from infra.sqlite.database import DirectoryLock
from infra.sqlite.log import SqliteLog
from infra.whole import note_without_accounts
from streams.replay import Sink

LIVE = frozenset({CHAT_TOPIC, NOTIFICATIONS_TOPIC, DEAD_LETTERS_TOPIC, "topic-register"})
WAITING = 2_000
"""Records under way before the next one waits."""
LINES_AT_ONCE = 500


class RawLog(Protocol):
    """What sinks need of a log."""

    def append_raw(self, key: str, value: bytes, done: Appended) -> None: ...

    async def close(self) -> None: ...


class LogSink:
    """Anything with `append_raw`: a topic, or a log in a folder."""

    def __init__(self, log: RawLog) -> None:
        self._log = log
        self._under_way = 0
        self._room = asyncio.Event()
        self._failed: TidingsError | None = None

    async def put(self, record: Record) -> None:
        while self._under_way >= WAITING:
            await self._settle()
        self._under_way += 1
        done: Appended = self._done
        self._log.append_raw(record.key, record.value, done)

    async def flush(self) -> None:
        while self._under_way:
            await self._settle()
        self._check()

    async def close(self) -> None:
        await self._log.close()

    async def _settle(self) -> None:
        self._room.clear()
        await self._room.wait()
        self._check()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _done(self, position: Position | None, error: TidingsError | None) -> None:
        self._under_way -= 1
        self._failed = self._failed or error
        self._room.set()


class FolderSink(LogSink):
    """A log of its own, locked while it is written. `tidings serve` on that folder folds and shows it."""

    def __init__(self, folder: Path, partitions: int) -> None:
        self._lock = DirectoryLock(folder)
        self._path = log_file(folder)
        super().__init__(SqliteLog(log_file(folder), lambda: datetime.now(UTC), partitions))

    async def close(self) -> None:
        await super().close()
        note_without_accounts(self._path)
        self._lock.release()


class HttpSink:
    """Lines as `tidings events cat` prints them, some hundred in a POST, to whoever answers with 2xx."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lines: list[str] = []

    async def put(self, record: Record) -> None:
        self._lines += [as_json(one) for one in shown([record], Filter())]
        if len(self._lines) >= LINES_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            await asyncio.to_thread(self._post, "".join(f"{line}\n" for line in lines).encode())

    def _post(self, body: bytes) -> None:
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/x-ndjson"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except urllib.error.HTTPError as error:
            error.close()
            raise Unavailable(f"{self._url} answers {error.code}") from error
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise Unavailable(f"{self._url} does not answer: {error}") from error

    async def close(self) -> None:
        """Nothing is held."""


def check(into: str, settings: Settings) -> None:
    """Refuse what is live or is no place to replay to. Raises Fault."""
    try:
        parts = urlsplit(into)
        _ = parts.port
    except ValueError as error:
        raise Fault(f"{into!r} is no URL: {error}", "write it as http://host:port/path", 2) from error
    match parts.scheme:
        case "http" | "https" if not parts.hostname:
            raise Fault(f"{into!r} names no host", "write it as http://host:port/path", 2)
        case "http" | "https":
            return
        case "file" if not parts.path or parts.netloc:
            raise Fault(f"{into!r} names no folder", "write it as file:///path", 2)
        case "file":
            folder = Path(parts.path).resolve()
            if folder == settings.data.resolve() or log_file(folder).exists():
                raise Fault(f"{folder} has a log already", "name a folder that has none", 2)
        case "kafka":
            if not parts.netloc or parts.path.strip("/") in LIVE:
                raise Fault(f"{into} is the live topic, or none", "name a scratch topic: kafka://HOST:PORT/TOPIC", 2)
        case "":
            if into in LIVE:
                raise Fault(f"{into} is a live topic", "name a scratch topic", 2)
            if not settings.kafka:
                raise Fault(
                    f"for the topic {into} TIDINGS_KAFKA must say where", "or name a folder: file:///path, or a URL", 2
                )
        case other:
            raise Fault(f"nothing is replayed to {other}:", "name a topic, kafka://, file:// or http(s)://", 2)


async def open_sink(into: str, settings: Settings, partitions: int) -> Sink:
    """What `check` lets pass. Raises Unavailable, TopicUnsuitable, DataDirectoryInUse."""
    parts = urlsplit(into)
    if parts.scheme in ("http", "https"):
        return HttpSink(into)
    if parts.scheme == "file":
        os.makedirs(parts.path, exist_ok=True)
        return FolderSink(Path(parts.path), partitions)
    from infra.kafka.log import KafkaLog

    bootstrap = parts.netloc if parts.scheme == "kafka" else ",".join(settings.kafka)
    topic = parts.path.strip("/") if parts.scheme == "kafka" else into
    return LogSink(await KafkaLog.open(bootstrap, partitions, topic=topic))
