"""A Redis server that keeps nothing: all that is in it comes back from elsewhere."""

from __future__ import annotations

from pathlib import Path

from infra.cluster.programs import find_redis
from infra.cluster.service import Service, answers


class Redis(Service):
    def __init__(self, folder: Path, *, name: str = "redis", port: int | None = None, memory_mb: int = 128) -> None:
        super().__init__(name, folder, {"redis": port})
        self._memory_mb = memory_mb

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.ports['redis']}/0"

    def command(self) -> list[str]:
        settings = {
            "bind": self.host,
            "port": self.ports["redis"],
            "dir": self.folder,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": f"{self._memory_mb}mb",
            "maxmemory-policy": "volatile-lru",
        }
        return [find_redis(), *(part for name, value in settings.items() for part in (f"--{name}", str(value)))]

    def is_ready(self) -> bool:
        return self.pid is not None and answers(self.host, self.ports["redis"], b"PING\r\n", b"+PONG")
