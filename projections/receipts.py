"""Who has what: watermarks as a member may see them, and the status of one's own messages."""

from __future__ import annotations

from typing import Literal

import msgspec

from commands.chat import Chat

Status = Literal["SENT", "DELIVERED", "READ"]


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A member's watermarks: everything up to them is delivered, or read."""

    user_id: str
    delivered_seq: int
    read_seq: int


def shown(mark: int, visible_from: int) -> int:
    """A watermark as told to somebody who sees the chat from `visible_from` on: 0 below that."""
    return mark if mark >= visible_from else 0


def status(seq: int, others_delivered: int, others_read: int) -> Status:
    """What became of one's own message at `seq`, given the marks that every other member has reached."""
    if seq <= others_read:
        return "READ"
    return "DELIVERED" if seq <= others_delivered else "SENT"


def receipts(chat: Chat, user_id: str) -> list[Mark]:
    """The marks of all current members by user id, oneself included, as the member `user_id` may see them."""
    visible_from = chat.members[user_id].visible_from
    return [
        Mark(
            member.user_id,
            shown(member.delivered_seq, visible_from),
            shown(member.read_seq, visible_from),
        )
        for member in sorted(chat.members.values(), key=lambda member: member.user_id)
    ]
