"""Watermarks and status, as one member may see them."""

import pytest

from commands.chat import Chat, Member
from projections.receipts import Mark, receipts, shown, status


@pytest.mark.parametrize(
    ("seq", "others_delivered", "others_read", "expected"),
    [
        (5, 0, 0, "SENT"),
        (5, 4, 4, "SENT"),
        (5, 5, 4, "DELIVERED"),
        (5, 9, 0, "DELIVERED"),
        (5, 5, 5, "READ"),
        (5, 0, 9, "READ"),
    ],
)
def test_a_message_has_the_status_that_every_other_member_has_reached(
    seq: int, others_delivered: int, others_read: int, expected: str
) -> None:
    assert status(seq, others_delivered, others_read) == expected


@pytest.mark.parametrize(("mark", "visible_from", "told"), [(0, 1, 0), (3, 1, 3), (6, 7, 0), (7, 7, 7), (9, 7, 9)])
def test_a_mark_below_what_one_may_see_is_told_as_none(mark: int, visible_from: int, told: int) -> None:
    assert shown(mark, visible_from) == told


def test_receipts_list_every_member_by_id_and_hide_what_was_before_the_reader() -> None:
    chat = Chat("c", members={})
    for user_id, visible_from, delivered, read in [("new", 7, 8, 7), ("ben", 1, 6, 2), ("ana", 1, 9, 9)]:
        chat.members[user_id] = Member(user_id, "member", visible_from, visible_from, delivered, read, 0)
    assert receipts(chat, "ana") == [Mark("ana", 9, 9), Mark("ben", 6, 2), Mark("new", 8, 7)]
    assert receipts(chat, "new") == [Mark("ana", 9, 9), Mark("ben", 0, 0), Mark("new", 8, 7)]
