"""Reading chats: heads with their members out of rows that hold both."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from commands.chat import MAX_BROADCAST_RECEIPTS, NOBODY, Chat, Member
from infra.cassandra.burst import Row
from infra.cassandra.keyspace import Keyspace
from infra.cassandra.statements import WHOLE
from infra.cassandra.tables import HEAD, id_of
from projections.inspection import Whole
from projections.ports import MemberRow, Refused, Summary

_LEFT = 2 + len(HEAD.split(", "))
"""The column after the head; the member follows."""
_OFFSET = 2 + HEAD.split(", ").index("last_offset")


async def load_chats(keyspace: Keyspace, chat_ids: Collection[str]) -> dict[str, Chat]:
    """Heads with current members, each as it was at one moment; absent where nothing was folded. Raises Unavailable."""
    wanted = list(dict.fromkeys(chat_ids))
    if len(wanted) == 1:
        rows = await keyspace.read_one(keyspace.reads.chat, wanted[0])
    else:
        rows = await keyspace.read_in(keyspace.reads.chats, wanted) if wanted else []
    by_chat = _by_chat(rows)
    torn = [(chat_id,) for chat_id, own in by_chat.items() if own[0][_OFFSET] != own[-1][_OFFSET]]
    # Pages of one answer are read one after the other, and the chat changed between two. One alone is not torn.
    for chat_id, own in zip(torn, await keyspace.read_unpaged(keyspace.reads.chat, *torn), strict=True):
        by_chat[chat_id[0]] = own
    return {chat_id: _chat(own) for chat_id, own in by_chat.items()}


async def summaries(keyspace: Keyspace, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
    """Those of the chats that the user is in. Raises Unavailable."""
    short = _by_chat(await keyspace.read_in(keyspace.reads.chats_in_short, dict.fromkeys(chat_ids)))
    cut = [(chat_id, user_id) for chat_id, own in short.items() if len(own) == WHOLE]
    found = {chat_id: _chat(own) for chat_id, own in short.items() if len(own) < WHOLE}
    crowds = _by_chat(row for rows in await keyspace.read(keyspace.reads.chat_and_member, *cut) for row in rows)
    few = [chat_id for chat_id, own in crowds.items() if own[0][1] <= MAX_BROADCAST_RECEIPTS]
    # Many have left, few are there: their marks count after all.
    found |= await load_chats(keyspace, few)
    found |= {chat_id: _chat(own) for chat_id, own in crowds.items() if chat_id not in found}
    counts = {chat_id: own[0][1] for chat_id, own in (*short.items(), *crowds.items())}
    listed = []
    for chat_id, chat in found.items():
        own_member = chat.members.get(user_id)
        if own_member is None:
            continue
        delivered, read = chat.others_marks(user_id)
        chat.members = {}
        listed.append(Summary(chat, counts[chat_id], own_member, delivered, read))
    return listed


async def whole(keyspace: Keyspace, chat_id: str) -> Whole | None:
    """A chat with all who ever were members, as of one moment. Raises Unavailable."""
    # The head says in every row how far it is, and the rows of one answer without pages are of one moment.
    rows = (await keyspace.read_unpaged(keyspace.reads.chat_rows, (chat_id,)))[0]
    if not rows:
        return None
    refused = await keyspace.read_one(keyspace.reads.refusals, chat_id)
    chat = _chat([row[:-1] for row in rows])
    members = [
        MemberRow(chat_id, Member(*row[_LEFT + 1 : -1]), row[_LEFT] or None, row[-1])
        for row in rows
        if row[_LEFT + 1] is not None  # null where the chat has no member at all
    ]
    return Whole(chat, members, [Refused(chat_id, *row) for row in refused if row[1] <= chat.offset], rows[0][1])


def _by_chat(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(id_of(row[0]), []).append(row)
    return found


def _chat(rows: list[Row]) -> Chat:
    chat = Chat(id_of(rows[0][0]), *rows[0][2:_LEFT])
    left_seq = 0
    for row in rows:
        if row[_LEFT] == 0:  # null where the chat has no member at all
            member = Member(*row[_LEFT + 1 :])
            chat.members[member.user_id] = member
        elif row[_LEFT] is not None and row[_LEFT] > left_seq:
            left_seq, gone = row[_LEFT], Member(*row[_LEFT + 1 :])
            chat.left = (gone.user_id, gone.delivered_seq, gone.read_seq)
    if len(chat.members) != 1:
        chat.left = NOBODY
    return chat
