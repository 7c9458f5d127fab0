"""Announcements between parties in one process."""

from __future__ import annotations

from collections.abc import Callable

from commands.announcements import News
from commands.isolation import for_each


class MemoryAnnouncements:
    """Those made with the same `board` hear each other."""

    def __init__(self, board: list[MemoryAnnouncements] | None = None) -> None:
        self.observers: list[Callable[[News], None]] = []
        self._board = [] if board is None else board
        self._board.append(self)

    def tell(self, news: News) -> None:
        for other in self._board:
            if other is not self:
                for_each("telling news", other.observers, lambda tell: tell(news))
