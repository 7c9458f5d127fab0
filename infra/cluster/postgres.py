"""PostgreSQL, and streaming replicas of it.

The server refuses to run as root, so root gives way to the user `postgres`. That user then owns the data, which may
lie where only root can go: it keeps root's right to pass through folders.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from infra.cluster.programs import find_postgres
from infra.cluster.service import Service, ServiceFailed

USER = DATABASE = "tidings"


class Postgres(Service):
    """Trusts everybody on its loopback address: for development and tests only."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    """Its "fast" shutdown: does not wait for clients to go."""

    def __init__(
        self, folder: Path, *, name: str = "postgres", port: int | None = None, replica_of: Postgres | None = None
    ) -> None:
        """A replica is copied from its primary, which must run then, at its first start."""
        super().__init__(name, folder, {"postgres": port})
        self._primary = replica_of
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """As SQLAlchemy wants it."""
        return f"postgresql+psycopg://{USER}@{self.host}:{self.ports['postgres']}/{DATABASE}"

    def prepare(self) -> None:
        complete = self.folder / "data.complete"
        if complete.exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            account = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self._data, account.pw_uid, account.pw_gid)
        if self._primary is None:
            self._run(["initdb", "-D", self._data, "--auth=trust", "-U", USER, "--encoding=UTF8", "--no-locale"])
            self._run(["postgres", "--single", "-D", self._data, "postgres"], f"CREATE DATABASE {DATABASE}\n")
        else:
            source = ["-h", self._primary.host, "-p", self._primary.ports["postgres"], "-U", USER]
            self._run(["pg_basebackup", "-D", self._data, *source, "--write-recovery-conf", "--checkpoint=fast"])
        complete.touch()

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": self.ports["postgres"],
            "unix_socket_directories": "",
            "shared_buffers": "32MB",
            "wal_level": "replica",
            "max_wal_senders": 4,
            "wal_keep_size": "256MB",
            "hot_standby": "on",
            "max_connections": 200,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*_unprivileged(), str(find_postgres() / "postgres"), "-D", str(self._data), *options]

    def is_ready(self) -> bool:
        if self.pid is None:
            return False
        ask = [str(find_postgres() / "pg_isready"), "-q", "-h", self.host, "-p", str(self.ports["postgres"]), "-t", "1"]
        return subprocess.run(ask, check=False).returncode == 0

    def _run(self, command: Sequence[object], told: str = "") -> None:
        program, *arguments = map(str, command)
        run = subprocess.run(
            [*_unprivileged(), str(find_postgres() / program), *arguments],
            cwd="/",
            input=told,
            capture_output=True,
            text=True,
        )
        if run.returncode != 0:
            raise ServiceFailed(f"{self.name}: {program} failed\n{run.stdout}{run.stderr}")


_UNPRIVILEGED = "postgres"


def _unprivileged() -> list[str]:
    """What stands before a command line so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    return [
        "setpriv",
        f"--reuid={_UNPRIVILEGED}",
        f"--regid={_UNPRIVILEGED}",
        "--clear-groups",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    ]
