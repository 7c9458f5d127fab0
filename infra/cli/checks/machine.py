"""Checks of the machine: Python, packages, SQLite, the port, and the programs that tests use."""

from __future__ import annotations

import errno
import platform
import re
import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import msgspec

from infra.cli.checks import Check
from infra.sqlite.database import is_served

OLDEST, NEWEST = (3, 11), (3, 13)
OLDEST_SQLITE = (3, 35)
"""The first with RETURNING."""
PATIENCE_S = 3


def python() -> Check:
    found = platform.python_version()
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "use Python 3.11, 3.12 or 3.13")


def packages() -> Check:
    missing = []
    count = 0
    try:
        asked = requires("tidings") or []
    except PackageNotFoundError:
        return Check("packages", "fail", "tidings is not installed here", "./dev setup, or pip install tidings")
    for requirement in asked:
        if "extra ==" in requirement:
            continue
        count += 1
        name = re.match(r"[\w.-]+", requirement)
        try:
            version(name[0] if name else requirement)
        except PackageNotFoundError:
            missing.append(requirement)
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", "./dev setup, or pip install tidings")
    return Check("packages", "ok", f"tidings {version('tidings')}, all {count} that it needs")


def sqlite(data: Path) -> Check:
    """That WAL works on the very file system of the data, which network file systems often do not allow."""
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return Check("sqlite", "fail", found, "Python needs to be linked with SQLite 3.35 or later")
    try:
        with (
            TemporaryDirectory(prefix=".doctor-", dir=data if data.is_dir() else None) as scratch,
            closing(sqlite3.connect(Path(scratch) / "wal.db")) as db,
        ):
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            db.execute("CREATE TABLE t (a)")
    except (OSError, sqlite3.Error) as error:
        return Check("sqlite", "fail", f"{found}; WAL cannot be tried: {error}", "the user must own the directory")
    if mode != "wal":
        return Check("sqlite", "fail", f"{found} without WAL", "put the data on a local file system")
    return Check("sqlite", "ok", f"{found}, WAL works")


def port(host: str, number: int, data: Path, patience_s: float = PATIENCE_S) -> Check:
    """Whether `serve` could listen there, or does already; what listens has `patience_s` to answer."""
    where = f"{host}:{number}"
    served, _ = is_served(data)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return Check("port", "fail", f"{where}: {error.strerror}", "choose another with --host and --port")
        else:
            if served:
                mend = "name that port: tidings doctor --port N"
                return Check("port", "warn", f"{where} is free, so the server listens on another port", mend)
            return Check("port", "ok", f"{where} is free")
    url = f"http://[{host}]:{number}" if family == socket.AF_INET6 else f"http://{host}:{number}"
    try:
        with urlopen(f"{url}/healthz", timeout=patience_s), urlopen(f"{url}/v1/info", timeout=patience_s) as answer:
            running = msgspec.json.decode(answer.read())["version"]
    except (OSError, HTTPException, msgspec.DecodeError, KeyError, TypeError):
        return Check("port", "fail", f"{where} is taken by another program", "choose another with --port, 0 for any")
    if not served:
        mend = "choose another port with --port, 0 for any"
        return Check("port", "fail", f"{where} is taken by a Tidings {running} with other data", mend)
    return Check("port", "ok", f"{where} answers: Tidings {running}")


def programs() -> list[Check]:
    """What the tests of a clone want besides; nothing where there are no tests."""
    if not (Path(__file__).parents[3] / "tests").is_dir():
        return []
    return [
        _program("chromium", ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"), "chromium"),
        _program("node", ("node", "nodejs"), "nodejs"),
    ]


def _program(name: str, names: tuple[str, ...], package: str) -> Check:
    for each in names:
        if path := shutil.which(each):
            return Check(name, "ok", path)
    return Check(name, "warn", "missing, so some tests are left out", f"on Debian: sudo apt-get install {package}")
