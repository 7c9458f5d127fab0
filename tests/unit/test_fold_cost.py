"""What an event costs does not grow with the chat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from commands.chat import Chat, Member
from events.codec import decode
from events.ids import uuid7
from events.types import (
    ChatRetitled,
    Data,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageRead,
    MessageSent,
    RoleChanged,
)
from projections.fold import cold, fold_record
from projections.ports import Changes
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM, History


class Crowd(dict[str, Member]):
    """Members whom nobody may go through one by one."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all members were looked at")

    items = values = keys = __iter__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("actor_id", "data", "touched"),
    [
        (ANA, MemberAdded(CLEO), {CLEO: "member"}),
        (CLEO, MemberJoined(CLEO), {CLEO: "member"}),
        (BEN, MemberLeft(BEN), {BEN: None}),
        (ANA, MemberRemoved(BEN), {BEN: None}),
        (ANA, RoleChanged(BEN, "admin"), {BEN: "admin"}),
        (ANA, RoleChanged(BEN, "owner"), {ANA: "admin", BEN: "owner"}),
        (ANA, ChatRetitled("Coffee"), {}),
        (BEN, MessageRead(1), {BEN: "member"}),
        (BEN, MessageSent(uuid7(NOON), "TEXT", b""), {BEN: "member"}),
    ],
)
def test_an_event_writes_the_rows_of_those_it_is_about_and_looks_at_nobody_else(
    actor_id: str, data: Data, touched: dict[str, str | None]
) -> None:
    chat = Chat(ROOM, "group", "Tea", True, seq=1, offset=0)
    chat.members = Crowd({ANA: Member(ANA, "owner", 1, 1, 1, 1, 0), BEN: Member(BEN, "member", 1, 1, 0, 0, 0)})
    history = History()
    history.add(ANA, ChatRetitled("the record of the state above"))
    record = history.add(actor_id, data)
    changes = Changes(0, 2)
    fold_record(changes, cold(chat), record, decode(record.value), {}, {(ROOM, 1): 0})
    assert not changes.refused
    rows = {row.member.user_id: row.member.role if row.left_seq is None else None for row in changes.members.values()}
    assert rows == touched
    came_or_went = {user_id for user_id, _ in changes.memberships}
    assert came_or_went == ({CLEO} if CLEO in touched else {each for each, role in touched.items() if role is None})
