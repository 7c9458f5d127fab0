"""Command lines of Java programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.cluster.programs import find_java

QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""Options for tests: starts in half the time, and is slower under load."""


def java(
    main: str,
    classpath: Sequence[str | Path],
    *,
    heap_mb: int,
    options: Sequence[str] = (),
    properties: Mapping[str, object] | None = None,
    arguments: Sequence[str] = (),
) -> list[str]:
    """A command line. Raises ProgramMissing."""
    command = [find_java(), f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", *options]
    command += [f"-D{name}={value}" for name, value in (properties or {}).items()]
    return [*command, "-cp", ":".join(map(str, classpath)), main, *arguments]
