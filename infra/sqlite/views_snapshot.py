"""The views as they are at one moment, read beside whoever folds into them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.sqlite.database import connect_read_only, translated
from infra.sqlite.logical import count_rows, logical_rows
from infra.sqlite.view_tables import WAY_OUT


class NoViews(Exception):
    """There are no views in this directory."""


class ViewsSnapshot:
    """One read transaction over the views: rows and positions belong together, whatever is folded meanwhile.

    While it is open, SQLite cannot shorten the views' write-ahead log, which therefore grows.
    """

    def __init__(self, path: Path) -> None:
        """Raises NoViews, and Unavailable for a file that holds no views."""
        if not path.exists():
            raise NoViews(f"there is no {path.name} in {path.parent}")
        self._path = path
        self._db = connect_read_only(path, way_out=WAY_OUT)
        try:
            with translated(self._path, WAY_OUT):
                self._db.execute("BEGIN")
                found = self._db.execute("SELECT value FROM view_meta WHERE name = 'incarnation'").fetchone()
                self.incarnation: str = found[0] if found else ""
                self.positions: dict[int, int] = dict(self._db.execute("SELECT partition, next_offset FROM positions"))
        except BaseException:
            self._db.close()
            raise

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All logical rows in order. Raises Unavailable."""
        return logical_rows(self._db)

    def count(self) -> int:
        """How many those are. Raises Unavailable."""
        return count_rows(self._db)

    def parked(self) -> dict[str, tuple[int, str]]:
        """Chat → (offset, why) of the record from which on it is not folded. Raises Unavailable."""
        with translated(self._path, WAY_OUT):
            rows = self._db.execute("SELECT chat_id, min(offset), error FROM parked GROUP BY chat_id").fetchall()
        return {chat_id: (offset, error) for chat_id, offset, error in rows}

    def close(self) -> None:
        self._db.close()
