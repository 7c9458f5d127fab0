"""Chats in which one session is not where its gateway is: it has come back and is still being told the past.

A live session needs nothing of this: it shares the cursor of the chat.
"""

from __future__ import annotations

from typing import Protocol


class Stay:
    """A stretch of membership that ended while an earlier part was still being told."""

    __slots__ = ("again", "left_seq", "welcome")

    def __init__(self, left_seq: int) -> None:
        self.left_seq = left_seq
        self.again = 0
        """The seq of the return, 0 if there was none."""
        self.welcome = b""
        """The `chat` frame that announces it."""


class CatchUp:
    """One chat. `seq` is the last that the session was sent, or has."""

    __slots__ = ("seq", "skip_to", "stays")

    def __init__(self, seq: int, skip_to: int = 0) -> None:
        self.seq = seq
        self.skip_to = skip_to
        """The client is ahead of this gateway: nothing up to this seq is to be sent. 0 in all other cases."""
        self.stays: list[Stay] = []


class Owner(Protocol):
    catching: CatchingUp | None


class CatchingUp:
    """All such chats of a session. Removes itself from the session with the last of them."""

    __slots__ = ("_owner", "chats")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.chats: dict[str, CatchUp] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether something is to be told from the views."""
        return any(not chat.skip_to for chat in self.chats.values())

    def end(self, chat_id: str) -> None:
        """From now on the session is live in this chat, or no longer in it."""
        self.chats.pop(chat_id, None)
        if not self.chats and self._owner.catching is self:
            self._owner.catching = None

    def takes(self, chat_id: str, seq: int) -> bool:
        """Whether the session is sent this event now. If not, the replay sends it, or the client has it."""
        chat = self.chats.get(chat_id)
        if chat is None:
            return True
        if not chat.skip_to or seq <= chat.skip_to:
            return False
        self.end(chat_id)
        return True

    def departs(self, chat_id: str, seq: int) -> bool:
        """The user left with `seq`: whether the session is told now. If not, the replay tells it in its place."""
        chat = self.chats.get(chat_id)
        if chat is None:
            return True
        if chat.skip_to:
            self.end(chat_id)
            return True
        chat.stays.append(Stay(seq))
        return False

    def arrives(self, chat_id: str, seq: int, welcome: bytes) -> bool:
        """The user is back since `seq`: whether the session is told now, as in `departs`."""
        chat = self.chats.get(chat_id)
        if chat is None or not chat.stays:
            return True
        chat.stays[-1].again, chat.stays[-1].welcome = seq, welcome
        return False
