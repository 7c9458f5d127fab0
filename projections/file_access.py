"""Who may read a file."""

from __future__ import annotations

from commands.files import StoredFile
from projections.ports import ChatViews

_AT_ONCE = 500


async def may_read(views: ChatViews, user_id: str, stored: StoredFile) -> bool:
    """Its uploader may, and members of a chat in which it was sent, if they may see a message that shows it.

    The only place that decides it. Where it was sent is what the log says, by a view. Raises Unavailable.
    """
    if stored.owner_id == user_id:
        return True
    after = ""
    while True:
        uses = await views.file_uses(stored.info.file_id, after, _AT_ONCE)
        seqs = {use.chat_id: use.seq for use in uses}
        for summary in await views.summaries(user_id, seqs) if seqs else ():
            if seqs[summary.chat.chat_id] >= summary.own.visible_from:
                return True
        if len(uses) < _AT_ONCE:
            return False
        after = uses[-1].chat_id
