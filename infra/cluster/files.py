"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_whole(file: Path, text: str) -> None:
    """Replace a file's content at one moment."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.write_text(text)
    unfinished.replace(file)


def write_once(file: Path, text: str) -> None:
    """Give a file its content; where several do at once, one of them does, and the others change nothing."""
    with NamedTemporaryFile("w", dir=file.parent, prefix=file.name) as unfinished:
        unfinished.write(text)
        unfinished.flush()
        with suppress(FileExistsError):
            os.link(unfinished.name, file)
