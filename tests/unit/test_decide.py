"""Given what happened, when somebody asks, then this happens: every command, and every refusal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from commands.chat import Chat, evolve
from commands.decide import (
    Add,
    ChangeRole,
    ChatCommand,
    CreateDirect,
    CreateGroup,
    Deliver,
    EraseUser,
    Join,
    Leave,
    Open,
    Read,
    Remove,
    Retitle,
    Send,
    decide,
)
from commands.errors import TidingsError
from commands.rules import changes_nothing, refusal
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
from tests.support.history import ANA, BEN, CLEO, DAN, DIRECT, NOON, ROOM

Given = Sequence[tuple[str, EventData]]

M1 = uuid7(NOON)
BODY = b"sealed"

GROUP: Given = [(ANA, ChatCreated("group", "Tea", False, "since_join", [ANA, BEN]))]
WITH_ADMIN: Given = [*GROUP, (ANA, RoleChanged(BEN, "admin")), (ANA, MemberAdded(CLEO))]
OPEN: Given = [(ANA, ChatCreated("group", "Tea", True, "all", [ANA]))]
PAIR: Given = [(ANA, ChatCreated("direct", None, False, "all", [ANA, BEN]))]
TALKED: Given = [*GROUP, (ANA, MessageSent(M1, "TEXT", BODY))]


def chat_of(given: Given, chat_id: str = ROOM) -> Chat:
    chat = Chat(chat_id)
    for actor_id, data in given:
        assert refusal(chat, actor_id, data) is None
        assert not changes_nothing(chat, actor_id, data)
        evolve(chat, actor_id, data, 0)
    return chat


HAPPENS: list[tuple[str, str, Given, ChatCommand, list[EventData]]] = [
    ("a member sends", ROOM, GROUP, Send(BEN, M1, "TEXT", BODY), [MessageSent(M1, "TEXT", BODY)]),
    ("a member has it", ROOM, TALKED, Deliver(BEN, 2), [MessageDelivered(2)]),
    ("a member reads it", ROOM, TALKED, Read(BEN, 2), [MessageRead(2)]),
    ("reading twice", ROOM, [*TALKED, (BEN, MessageRead(2))], Read(BEN, 2), []),
    ("a mark never moves back", ROOM, TALKED, Read(ANA, 1), []),
    ("read implies delivered", ROOM, [*TALKED, (BEN, MessageRead(2))], Deliver(BEN, 2), []),
    (
        "two people meet",
        DIRECT,
        [],
        CreateDirect(BEN, ANA),
        [ChatCreated("direct", None, False, "all", [BEN, ANA])],
    ),
    ("they met before", DIRECT, PAIR, CreateDirect(BEN, ANA), []),
    (
        "a group starts",
        ROOM,
        [],
        CreateGroup(ANA, "Tea", (BEN, ANA, BEN)),
        [ChatCreated("group", "Tea", False, "since_join", [ANA, BEN])],
    ),
    (
        "an open group shows everything",
        ROOM,
        [],
        CreateGroup(ANA, "Tea", (), open=True),
        [ChatCreated("group", "Tea", True, "all", [ANA])],
    ),
    (
        "unless its maker says else",
        ROOM,
        [],
        CreateGroup(ANA, "Tea", (), open=True, history="since_join"),
        [ChatCreated("group", "Tea", True, "since_join", [ANA])],
    ),
    ("its maker repeats", ROOM, GROUP, CreateGroup(ANA, "Tea", (BEN,)), []),
    ("the owner renames", ROOM, GROUP, Retitle(ANA, "Coffee"), [ChatRetitled("Coffee")]),
    ("an admin renames", ROOM, WITH_ADMIN, Retitle(BEN, "Coffee"), [ChatRetitled("Coffee")]),
    ("renamed to the same", ROOM, GROUP, Retitle(ANA, "Tea"), []),
    ("the owner opens", ROOM, GROUP, Open(ANA, True), [ChatOpened(True)]),
    ("opened already", ROOM, OPEN, Open(ANA, True), []),
    ("the owner adds two", ROOM, GROUP, Add(ANA, (CLEO, DAN, CLEO)), [MemberAdded(CLEO), MemberAdded(DAN)]),
    ("an admin adds", ROOM, WITH_ADMIN, Add(BEN, (DAN,)), [MemberAdded(DAN)]),
    ("one of two is there already", ROOM, GROUP, Add(ANA, (BEN, CLEO)), [MemberAdded(CLEO)]),
    ("the owner removes an admin", ROOM, WITH_ADMIN, Remove(ANA, BEN), [MemberRemoved(BEN)]),
    ("an admin removes a member", ROOM, WITH_ADMIN, Remove(BEN, CLEO), [MemberRemoved(CLEO)]),
    ("who is not there is removed", ROOM, GROUP, Remove(ANA, DAN), []),
    ("somebody joins", ROOM, OPEN, Join(BEN), [MemberJoined(BEN)]),
    ("a member joins", ROOM, GROUP, Join(BEN), []),
    ("a member leaves", ROOM, GROUP, Leave(BEN), [MemberLeft(BEN)]),
    ("the owner leaves", ROOM, GROUP, Leave(ANA), [RoleChanged(BEN, "owner"), MemberLeft(ANA)]),
    (
        "an admin inherits before older members",
        ROOM,
        [*GROUP, (ANA, MemberAdded(CLEO)), (ANA, RoleChanged(CLEO, "admin"))],
        Leave(ANA),
        [RoleChanged(CLEO, "owner"), MemberLeft(ANA)],
    ),
    ("the last one leaves", ROOM, OPEN, Leave(ANA), [MemberLeft(ANA)]),
    ("the owner makes an admin", ROOM, GROUP, ChangeRole(ANA, BEN, "admin"), [RoleChanged(BEN, "admin")]),
    ("the owner hands over", ROOM, GROUP, ChangeRole(ANA, BEN, "owner"), [RoleChanged(BEN, "owner")]),
    ("a role that is held already", ROOM, GROUP, ChangeRole(ANA, BEN, "member"), []),
    ("an erased user leaves", ROOM, GROUP, EraseUser(BEN), [MemberLeft(BEN, "erased")]),
    ("a direct chat too", DIRECT, PAIR, EraseUser(BEN), [MemberLeft(BEN, "erased")]),
    ("and nothing where they are not", ROOM, GROUP, EraseUser(DAN), []),
]


@pytest.mark.parametrize(
    ("chat_id", "given", "when", "then"), [row[1:] for row in HAPPENS], ids=[r[0] for r in HAPPENS]
)
def test_this_happens(chat_id: str, given: Given, when: ChatCommand, then: list[EventData]) -> None:
    assert decide(when, chat_of(given, chat_id)) == then


FULL: Given = [(ANA, ChatCreated("group", "Tea", True, "all", [ANA, *(f"u{n}" for n in range(4_999))]))]

REFUSED: list[tuple[str, str, Given, ChatCommand, str]] = [
    ("send to nowhere", ROOM, [], Send(ANA, M1, "TEXT", BODY), "no_such_chat"),
    ("send as a stranger", ROOM, GROUP, Send(DAN, M1, "TEXT", BODY), "no_such_chat"),
    ("send after leaving", ROOM, [*GROUP, (BEN, MemberLeft(BEN))], Send(BEN, M1, "TEXT", BODY), "no_such_chat"),
    ("deliver as a stranger", ROOM, GROUP, Deliver(DAN, 1), "no_such_chat"),
    ("deliver beyond the head", ROOM, GROUP, Deliver(BEN, 2), "beyond_head"),
    ("read as a stranger", ROOM, GROUP, Read(DAN, 1), "no_such_chat"),
    ("read beyond the head", ROOM, GROUP, Read(BEN, 2), "beyond_head"),
    ("talk to oneself", DIRECT, [], CreateDirect(ANA, ANA), "invalid"),
    ("a direct chat under another id", ROOM, [], CreateDirect(ANA, BEN), "invalid"),
    ("a group under a direct id", DIRECT, [], CreateGroup(ANA, "Tea", (BEN,)), "invalid"),
    ("a group under somebody's id", ROOM, GROUP, CreateGroup(BEN, "Mine", ()), "chat_id_taken"),
    ("a group too large", ROOM, [], CreateGroup(ANA, "Tea", tuple(f"u{n}" for n in range(5_000))), "group_full"),
    ("a group whose title is not seen", ROOM, [], CreateGroup(ANA, "\u3164", ()), "invalid"),
    ("retitle to what is not seen", ROOM, GROUP, Retitle(ANA, "   "), "invalid"),
    ("retitle to two lines", ROOM, GROUP, Retitle(ANA, "Tea\n"), "invalid"),
    ("retitle too long", ROOM, GROUP, Retitle(ANA, "x" * 201), "invalid"),
    ("retitle as a member", ROOM, GROUP, Retitle(BEN, "Mine"), "forbidden"),
    ("retitle as a stranger", ROOM, GROUP, Retitle(DAN, "Mine"), "no_such_chat"),
    ("retitle a direct chat", DIRECT, PAIR, Retitle(ANA, "Us"), "direct_chat"),
    ("open as a member", ROOM, GROUP, Open(BEN, True), "forbidden"),
    ("open a direct chat", DIRECT, PAIR, Open(ANA, True), "direct_chat"),
    ("add as a member", ROOM, GROUP, Add(BEN, (CLEO,)), "forbidden"),
    ("add as a stranger", ROOM, GROUP, Add(DAN, (DAN,)), "no_such_chat"),
    ("add to a direct chat", DIRECT, PAIR, Add(ANA, (CLEO,)), "direct_chat"),
    ("add to a full group", ROOM, FULL, Add(ANA, (BEN,)), "group_full"),
    ("add two where one fits", ROOM, [*FULL, ("u0", MemberLeft("u0"))], Add(ANA, (BEN, CLEO)), "group_full"),
    ("remove as a member", ROOM, [*GROUP, (ANA, MemberAdded(CLEO))], Remove(BEN, CLEO), "forbidden"),
    ("an admin removes the owner", ROOM, WITH_ADMIN, Remove(BEN, ANA), "forbidden"),
    ("remove oneself", ROOM, GROUP, Remove(ANA, ANA), "forbidden"),
    ("remove from a direct chat", DIRECT, PAIR, Remove(ANA, BEN), "direct_chat"),
    ("join a closed group", ROOM, GROUP, Join(DAN), "no_such_chat"),
    ("join nothing", ROOM, [], Join(DAN), "no_such_chat"),
    ("join a full group", ROOM, FULL, Join(BEN), "group_full"),
    ("join one's direct chat", DIRECT, PAIR, Join(ANA), "direct_chat"),
    ("join somebody's direct chat", DIRECT, PAIR, Join(CLEO), "no_such_chat"),
    ("leave as a stranger", ROOM, GROUP, Leave(DAN), "no_such_chat"),
    ("leave a direct chat", DIRECT, PAIR, Leave(ANA), "direct_chat"),
    ("change a role as an admin", ROOM, WITH_ADMIN, ChangeRole(BEN, CLEO, "admin"), "forbidden"),
    ("change a stranger's role", ROOM, GROUP, ChangeRole(ANA, DAN, "admin"), "no_such_user"),
    ("lay ownership down", ROOM, GROUP, ChangeRole(ANA, ANA, "member"), "forbidden"),
    ("change a role in a direct chat", DIRECT, PAIR, ChangeRole(ANA, BEN, "admin"), "direct_chat"),
]  # fmt: skip


@pytest.mark.parametrize(("chat_id", "given", "when", "code"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_this_is_refused(chat_id: str, given: Given, when: ChatCommand, code: str) -> None:
    with pytest.raises(TidingsError) as refused:
        decide(when, chat_of(given, chat_id))
    assert refused.value.code == code


FORGED: list[tuple[str, Given, str, EventData, str]] = [
    ("leaving for somebody else", GROUP, ANA, MemberLeft(BEN), "forbidden"),
    ("joining for somebody else", OPEN, BEN, MemberJoined(CLEO), "forbidden"),
    ("a creation without its maker", [], ANA, ChatCreated("group", "Tea", False, "all", [BEN]), "invalid"),
    ("a creation that names one twice", [], ANA, ChatCreated("group", "T", False, "all", [ANA, ANA]), "invalid"),
    ("a group without a title", [], ANA, ChatCreated("group", None, False, "all", [ANA]), "invalid"),
    ("an open direct chat", [], ANA, ChatCreated("direct", None, True, "all", [ANA, BEN]), "invalid"),
]


@pytest.mark.parametrize(("given", "actor_id", "data", "code"), [r[1:] for r in FORGED], ids=[r[0] for r in FORGED])
def test_the_law_refuses_what_no_decider_asks_for(given: Given, actor_id: str, data: EventData, code: str) -> None:
    chat_id = DIRECT if isinstance(data, ChatCreated) and data.kind == "direct" else ROOM
    assert refusal(chat_of(given, chat_id), actor_id, data) == code
