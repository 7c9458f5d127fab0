"""Kafka's and Cassandra's jars: fetched once by Maven into a cache that all checkouts share."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.cluster.programs import find_maven

FETCH_PATIENCE_S = 900


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one service runs from: Maven coordinates `group:artifact:version`, with all that they need."""

    name: str
    coordinates: tuple[str, ...]

    @property
    def pom(self) -> str:
        dependencies = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency>"
            for group, artifact, version in (each.split(":") for each in self.coordinates)
        )
        return (
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            f"<groupId>tidings</groupId><artifactId>{self.name}</artifactId><version>1</version>"
            f"<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
        )


KAFKA_JARS = Bundle(
    "kafka",
    ("org.apache.kafka:kafka_2.13:4.1.0", "org.apache.kafka:kafka-tools:4.1.0", "org.slf4j:slf4j-simple:1.7.36"),
)
CASSANDRA_JARS = Bundle("cassandra", ("org.apache.cassandra:cassandra-all:5.0.5",))


class JarsMissing(Exception):
    """The jars are neither in the cache nor to be had; the message ends with what Maven said."""


def cache_folder() -> Path:
    """TIDINGS_CACHE, or the user's cache folder of Tidings."""
    if given := os.environ.get("TIDINGS_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidings"


def cached(bundle: Bundle) -> Path | None:
    """The folder of a bundle's jars if they are there already."""
    folder = _folder(bundle)
    return folder if folder.is_dir() else None


def fetch(bundle: Bundle) -> Path:
    """The folder of a bundle's jars, fetched if need be: a minute at most on a usual line.

    Several may ask at once, and may be killed at any point: a folder appears only when it is complete.
    Raises JarsMissing and ProgramMissing.
    """
    target = _folder(bundle)
    if target.is_dir():
        return target
    maven = find_maven()
    target.parent.mkdir(parents=True, exist_ok=True)
    # One at a time whatever the bundle: Maven's own repository is not made for two that write it at once.
    with _turn(target.parent / "fetch.lock"):
        if target.is_dir():
            return target
        _discard_unfinished(target.parent)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=target.parent))
        try:
            _run_maven(maven, bundle, unfinished)
            (unfinished / "jars").rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _folder(bundle: Bundle) -> Path:
    version = hashlib.sha256(bundle.pom.encode()).hexdigest()[:12]
    return cache_folder() / "jars" / f"{bundle.name}-{version}"


def _run_maven(maven: str, bundle: Bundle, folder: Path) -> None:
    (folder / "pom.xml").write_text(bundle.pom)
    command = [maven, "--quiet", "--batch-mode", "--strict-checksums", "dependency:copy-dependencies"]
    command += ["-DoutputDirectory=jars", "-DincludeScope=runtime"]
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_PATIENCE_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise JarsMissing(f"Maven did not fetch {bundle.name} within {FETCH_PATIENCE_S} s") from error
    if run.returncode != 0:
        raise JarsMissing(f"Maven could not fetch {bundle.name}: {(run.stdout + run.stderr).strip()[-1_000:]}")


def _discard_unfinished(folder: Path) -> None:
    """Sweep up after a fetch that was killed. Only whoever has the turn may."""
    for left in folder.glob("unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
