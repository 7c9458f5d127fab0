"""What the routes of files use, besides what every route has."""

from __future__ import annotations

from dataclasses import dataclass

from api.file_links import FileLinks
from commands.files import Files


@dataclass(frozen=True, slots=True)
class FileServices:
    files: Files
    links: FileLinks
    origins: tuple[str, ...] = ()
    """Besides our own, where pages may load files from: a CDN's, or the storage's."""
