"""All routes of chats and presence."""

from __future__ import annotations

from api.http import chats, members, messages, presence

ROUTERS = (chats.router, members.router, messages.router, presence.router)
