"""What a chat's rows elsewhere must say, by its own head, members and timeline: users' lists of chats, uses of files.

They are written before the head that counts them, so a row by a later record than the head's says nothing wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from commands.chat import Chat
from projections.inspection import InspectedViews, Whole
from projections.ports import Entry, Membership


class _Attached(msgspec.Struct, gc=False):
    """Of an entry's data, the file alone."""

    file_id: str | None = None


_attached = msgspec.json.Decoder(_Attached)


def file_of(entry: Entry) -> str | None:
    """The file that came with an entry. Raises MsgspecError for one that nobody can read."""
    return _attached.decode(entry.raw).file_id if entry.type == "message.sent" else None


def listing_faults(whole: Whole, listed: Mapping[str, Membership]) -> list[str]:
    """Whether the head counts its members, and `listed`, read after the chat, has it in the lists of all of them."""
    found = []
    if whole.member_count != len(whole.chat.members):
        found.append(f"the head counts {whole.member_count} members, there are {len(whole.chat.members)}")
    for row in whole.rows:
        user_id, wanted = row.member.user_id, (row.member.joined_seq, row.left_seq)
        own = listed.get(user_id)
        if own is None:
            found.append(f"{user_id} does not have the chat in the list")
        elif own.offset <= whole.chat.offset and (own.joined_seq, own.left_seq) != wanted:
            found.append(
                f"{user_id} joined at {wanted[0]} and left at {wanted[1]}; "
                f"in the list that is {own.joined_seq} and {own.left_seq}"
            )
    return found


class FileChecks:
    """Whether the uses of files are those that the timeline shows, page by page, upwards."""

    def __init__(self, views: InspectedViews, chat: Chat) -> None:
        self._views = views
        self._chat = chat
        self._later: dict[str, int] = {}
        """File → the seq ahead at which it is said to have been sent last."""

    async def check(self, page: Sequence[Entry]) -> list[tuple[int, str]]:
        """(seq, what is wrong there). Raises Unavailable."""
        found: list[tuple[int, str]] = []
        last: dict[str, Entry] = {}
        for entry in page:
            try:
                file_id = file_of(entry)
            except msgspec.MsgspecError as error:
                found.append((entry.seq, f"the message cannot be read: {error}"))
                continue
            if file_id is not None:
                last[file_id] = entry
        rows = await self._views.files_of(self._chat.chat_id, last) if last else {}
        for file_id, entry in last.items():
            row = rows.get(file_id)
            if row is not None and row.offset > self._chat.offset:
                continue
            self._later.pop(file_id, None)
            if row is not None and row.seq > entry.seq:
                self._later[file_id] = row.seq
            elif row is None or (row.seq, row.offset) != (entry.seq, entry.offset):
                at = "nowhere" if row is None else f"at seq {row.seq}"
                found.append((entry.seq, f"file {file_id} is sent here, and known to be sent {at}"))
        return found

    def end(self) -> list[tuple[int, str]]:
        """What no page has confirmed."""
        return [(seq, f"file {file_id} is not sent here") for file_id, seq in self._later.items()]
