"""Gateways and workers of the local cluster: this very program, each in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from infra.cluster.service import Service

ROOT = Path(__file__).resolve().parents[2]
"""Where the packages are, whatever folder a process starts in."""


class Gateway(Service):
    """`tidings gateway`. SIGTERM drains it: its clients are sent away, then it ends."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, name: str = "gateway-1") -> None:
        super().__init__(name, folder, {"http": None})
        self._settings = dict(settings)
        self.root = ROOT
        """Where the packages are that it runs from its next start on."""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.ports['http']}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def command(self) -> Sequence[str]:
        return _tidings("gateway", "--host", self.host, "--port", str(self.ports["http"]))

    def environment(self) -> dict[str, str]:
        return _environment(self.name, self._settings, self.root)

    def is_ready(self) -> bool:
        return self.pid is not None and is_served(f"{self.url}/readyz")


class Worker(Service):
    """`tidings worker`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, name: str = "worker-1") -> None:
        super().__init__(name, folder, {"http": None})
        self._settings = dict(settings)
        self.root = ROOT
        """Where the packages are that it runs from its next start on."""

    def command(self) -> Sequence[str]:
        return _tidings("worker", "--host", self.host, "--port", str(self.ports["http"]))

    def environment(self) -> dict[str, str]:
        return _environment(self.name, self._settings, self.root)

    def is_ready(self) -> bool:
        return self.pid is not None and is_served(f"http://{self.host}:{self.ports['http']}/readyz")


def is_served(url: str) -> bool:
    """Whether a GET is answered with 200 within two seconds."""
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False


def _tidings(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "infra.cli", *arguments]


def _environment(name: str, settings: Mapping[str, str], root: Path) -> dict[str, str]:
    """Ours, but for what would make this process another one's."""
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **settings, "TIDINGS_NODE": name, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
