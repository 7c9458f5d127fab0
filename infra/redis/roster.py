"""Who runs, in a cluster: each process keeps an entry in Redis that runs out by itself."""

from __future__ import annotations

import msgspec

from api.operations import ALIVE_S, Process
from commands.isolation import left_out
from infra.redis.connection import Connection

_decoder = msgspec.json.Decoder(Process)


class RedisRoster:
    def __init__(self, connection: Connection, *, namespace: str) -> None:
        self._redis = connection
        # The braces keep all of it together where keys are spread over servers.
        self._prefix = f"tidings:{namespace}:{{processes}}"

    async def tell(self, process: Process) -> None:
        entry = msgspec.json.encode(process)
        await self._redis.run_all(
            [
                ("SET", f"{self._prefix}:{process.name}", entry, "PX", int(ALIVE_S * 1000)),
                ("SADD", self._prefix, process.name),
                ("PEXPIRE", self._prefix, int(ALIVE_S * 1000) * 10),
            ]
        )

    async def all(self) -> list[Process]:
        names = sorted(name.decode() for name in await self._redis.run("SMEMBERS", self._prefix))
        if not names:
            return []
        entries = await self._redis.run("MGET", *(f"{self._prefix}:{name}" for name in names))
        if gone := [name for name, entry in zip(names, entries, strict=True) if entry is None]:
            await self._redis.run("SREM", self._prefix, *gone)
        return [process for entry in entries if entry is not None and (process := _read(entry)) is not None]


def _read(entry: bytes) -> Process | None:
    try:
        return _decoder.decode(entry)
    except msgspec.DecodeError:  # of a process of another release: the others are shown
        left_out("reading what a process says of itself")
        return None
