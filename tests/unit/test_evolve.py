"""What each event makes of a chat."""

from __future__ import annotations

from commands.chat import Chat, Member, evolve
from events.ids import uuid7
from events.types import (
    ChatCreated,
    ChatOpened,
    ChatRetitled,
    EventData,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageRead,
    MessageSent,
    RoleChanged,
)
from tests.support.history import ANA, BEN, CLEO, NOON, ROOM

M1 = uuid7(NOON)


def chat_after(*events: tuple[str, EventData]) -> Chat:
    chat = Chat(ROOM)
    for step, (actor_id, data) in enumerate(events):
        evolve(chat, actor_id, data, step * 1_000_000, read_n=chat.n)
    return chat


CREATED = (ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))
SHOWN = (ANA, ChatCreated("group", "Tea", True, "all", [ANA, BEN]))
SENT = (ANA, MessageSent(M1, "TEXT", b""))


def test_a_creation_is_seq_1_and_its_maker_owns_the_group() -> None:
    chat = chat_after(CREATED)
    assert (chat.seq, chat.n, chat.created_by) == (1, 0, ANA)
    assert chat.members[ANA] == Member(ANA, "owner", 1, 1, 1, 1, 0)
    assert chat.members[BEN] == Member(BEN, "member", 1, 1, 1, 1, 0)


def test_a_message_takes_a_seq_and_an_n_and_moves_its_senders_own_marks() -> None:
    chat = chat_after(CREATED, SENT)
    assert (chat.seq, chat.n, chat.last_message_seq) == (2, 1, 2)
    assert chat.members[ANA] == Member(ANA, "owner", 1, 1, 2, 2, 1)
    assert chat.members[BEN].read_n == 0


def test_receipts_move_marks_and_take_no_seq() -> None:
    chat = chat_after(CREATED, SENT, (BEN, MessageDelivered(2)))
    assert (chat.seq, chat.members[BEN].delivered_seq, chat.members[BEN].read_seq) == (2, 2, 1)
    chat = chat_after(CREATED, SENT, (BEN, MessageRead(2)))
    assert chat.members[BEN] == Member(BEN, "member", 1, 1, 2, 2, 1)


def test_a_newcomer_starts_at_the_join_and_sees_from_there() -> None:
    chat = chat_after(CREATED, SENT, (ANA, MemberAdded(CLEO)))
    assert chat.members[CLEO] == Member(CLEO, "member", 3, 3, 3, 3, 1)


def test_a_newcomer_sees_everything_where_history_is_all() -> None:
    chat = chat_after(SHOWN, SENT, (CLEO, MemberJoined(CLEO)))
    assert chat.members[CLEO] == Member(CLEO, "member", 3, 1, 3, 3, 1)


def test_coming_back_starts_anew() -> None:
    chat = chat_after(CREATED, (BEN, MemberLeft(BEN)), SENT, (ANA, MemberAdded(BEN)))
    assert chat.members[BEN] == Member(BEN, "member", 4, 4, 4, 4, 1)


def test_titles_and_openness_change() -> None:
    chat = chat_after(CREATED, (ANA, ChatRetitled("Coffee")), (ANA, ChatOpened(True)))
    assert (chat.title, chat.open, chat.seq) == ("Coffee", True, 3)


def test_handing_over_leaves_an_admin() -> None:
    chat = chat_after(CREATED, (ANA, RoleChanged(BEN, "owner")))
    assert (chat.members[ANA].role, chat.members[BEN].role) == ("admin", "owner")


def test_an_owner_who_vanishes_in_a_race_leaves_an_heir() -> None:
    chat = chat_after(CREATED, (ANA, MemberAdded(CLEO)), (ANA, RoleChanged(CLEO, "admin")), (ANA, MemberLeft(ANA)))
    assert (chat.members[CLEO].role, chat.members[BEN].role) == ("owner", "member")
    chat = chat_after(CREATED, (ANA, MemberAdded(CLEO)), (ANA, MemberLeft(ANA)))
    assert (chat.members[BEN].role, chat.members[CLEO].role) == ("owner", "member")


def test_who_enters_an_empty_group_owns_it() -> None:
    chat = chat_after(SHOWN, (ANA, MemberRemoved(BEN)), (ANA, MemberLeft(ANA)), (CLEO, MemberJoined(CLEO)))
    assert chat.members[CLEO].role == "owner"


def test_time_never_runs_backwards() -> None:
    chat = Chat(ROOM)
    evolve(chat, *CREATED, 5_000_000)
    evolve(chat, *SENT, 3_000_000)
    assert chat.at_us == 5_000_000


def test_what_the_last_reader_had_read_stays_read() -> None:
    read = (CREATED, SENT, (BEN, MessageRead(2)))
    for leaving in ((BEN, MemberLeft(BEN, "erased")), (ANA, MemberRemoved(BEN))):
        assert chat_after(*read, leaving).others_marks(ANA) == (2, 2)
    unread = (CREATED, SENT, (BEN, MessageDelivered(2)), (BEN, MemberLeft(BEN)))
    assert chat_after(*unread).others_marks(ANA) == (2, 1)


def test_the_others_marks_are_the_lowest_of_the_others() -> None:
    chat = chat_after(CREATED, (ANA, MemberAdded(CLEO)), SENT, (BEN, MessageRead(3)), (CLEO, MessageDelivered(3)))
    assert chat.others_marks(ANA) == (3, 2)
    assert chat_after((ANA, ChatCreated("group", "Tea", True, "all", [ANA]))).others_marks(ANA) == (0, 0)


def test_large_groups_do_not_tell_marks() -> None:
    many = [ANA, *(f"user-{n}" for n in range(100))]
    assert chat_after((ANA, ChatCreated("group", "Tea", True, "all", many))).others_marks(ANA) == (0, 0)
