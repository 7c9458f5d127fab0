"""Which messages this process has handed to the log lately, whether or not the log has them already."""

from __future__ import annotations

KEPT = 20_000
"""At least so many of the newest, and at most twice as many; some 200 bytes each. They need to be known only until the
views show them, which takes moments."""


class RecentIds:
    """A bounded set of (chat, message id). Noting costs one entry of a dict, and nothing is ever looked for to go."""

    __slots__ = ("_kept", "_new", "_old")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._new: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def note(self, chat_id: str, message_id: str) -> None:
        """The same id in another chat takes the place of the earlier one; clients mint each id once."""
        self._new[message_id] = chat_id
        if len(self._new) >= self._kept:
            self._old, self._new = self._new, {}

    def has(self, chat_id: str, message_id: str) -> bool:
        return self._new.get(message_id, self._old.get(message_id)) == chat_id
