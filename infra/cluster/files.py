"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Replace a file's content at one moment."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.write_text(text)
    unfinished.replace(file)
