"""The programs that a local cluster is made of, and how to come by those that are missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

JAVA_AT_LEAST = 17


class ProgramMissing(Exception):
    """This machine lacks a program; the message says which and how to mend it."""


def find_java() -> str:
    """The path of a Java runtime, 17 or later. Raises ProgramMissing."""
    mend = "on Debian: sudo apt-get install openjdk-17-jre-headless"
    path = _find("java", f"Java {JAVA_AT_LEAST}", mend)
    told = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < JAVA_AT_LEAST:
        raise ProgramMissing(f"Java {JAVA_AT_LEAST} or later is missing (this is {told.strip()[:60]!r}); {mend}")
    return path


def find_maven() -> str:
    """Raises ProgramMissing."""
    return _find("mvn", "Maven", "on Debian: sudo apt-get install maven")


def find_redis() -> str:
    """Raises ProgramMissing."""
    return _find("redis-server", "Redis", "on Debian: sudo apt-get install redis-server")


def find_haproxy() -> str:
    """Raises ProgramMissing."""
    # Debian keeps it where only root's PATH looks.
    return _find("haproxy", "HAProxy", "on Debian: sudo apt-get install haproxy", ["/usr/sbin", "/usr/local/sbin"])


def find_postgres() -> Path:
    """The folder of PostgreSQL's server programs, the newest version's. Raises ProgramMissing."""
    # Debian installs versions side by side and puts none on the PATH.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    if versions:
        return versions[-1].parent
    mend = "on Debian: sudo apt-get install postgresql"
    return Path(_find("initdb", "PostgreSQL", mend)).resolve().parent


def _find(program: str, title: str, mend: str, also: list[str] | None = None) -> str:
    path = shutil.which(program)
    for folder in also or []:
        path = path or shutil.which(program, path=folder)
    if path is None:
        raise ProgramMissing(f"{title} is missing; {mend}")
    return path
