"""Handlers: whose word is believed when, and what callers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import pytest

from commands.chat import Chat, evolve
from commands.decide import Add, ChatCommand, CreateDirect, Deliver, Join, Leave, Open, Read, Remove, Retitle
from commands.erasure import AT_ONCE, Departure
from commands.errors import (
    BadReply,
    BeyondHead,
    DirectChat,
    Forbidden,
    NoSuchChat,
    NotYet,
    TidingsError,
    Unavailable,
)
from commands.handlers import Accepted, Commands, Draft
from commands.ports import Appended
from commands.recent import RecentIds
from commands.sealing import Sealer
from events.codec import Event
from events.ids import uuid7
from events.log import Position, Record
from events.types import ChatCreated, Data, MemberAdded, MemberLeft, MessageSent
from tests.support.history import ANA, BEN, CLEO, DIRECT, NOON, ROOM

PAIR = ChatCreated("direct", None, False, "all", [ANA, BEN])
GROUP = ChatCreated("group", "Tea", True, "all", [ANA, BEN])
OTHER_ROOM = uuid7(NOON)


@dataclass
class World:
    """All ports of the handlers. `settle` is what the view shows once the fold has caught up; None: it does not."""

    view: dict[str, Chat] = field(default_factory=dict)
    settle: dict[str, Chat] | None = None
    logged: list[Event] = field(default_factory=list)
    waits: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    messages_are_away: bool = False
    log_is_down: bool = False

    partitions = 1
    incarnation = "log"

    def append(self, event: Event, done: Appended) -> None:
        if self.log_is_down:
            done(None, Unavailable("the log is away"))
            return
        self.logged.append(event)
        done(Position(0, 100 + len(self.logged)), None)

    async def end(self) -> dict[int, int]:
        return {0: 100 + len(self.logged) + 1}

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        raise NotImplementedError

    async def wait(self, partition: int, offset: int) -> None:
        raise NotImplementedError

    async def reach(self, ends: dict[int, int], timeout_s: float) -> bool:
        self.waits += 1
        if self.settle is None:
            return False
        self.view = self.settle
        return True

    def cached(self, chat_id: str) -> Chat | None:
        return None

    def seats(self, chat_id: str, user_id: str) -> bool:
        return False

    async def load(self, chat_id: str) -> Chat:
        return deepcopy(self.view.get(chat_id, Chat(chat_id)))

    async def message_seq(self, chat_id: str, message_id: str) -> int | None:
        if self.messages_are_away:
            raise Unavailable("the views are away")
        return self.messages.get(message_id)

    async def refusal_at(self, chat_id: str, position: Position) -> str | None:
        return self.refused.get(position.offset)

    def commands(self) -> Commands:
        return Commands(self, self, self, self, Sealer(_Keys()), lambda: NOON)

    def types(self) -> list[str]:
        return [event.type for event in self.logged]


class _Keys:
    async def load(self, author_ids: Collection[str]) -> Mapping[str, bytes | None]:
        return dict.fromkeys(author_ids, b"k" * 32)


def chat(*events: tuple[str, Data], chat_id: str = ROOM) -> dict[str, Chat]:
    made = Chat(chat_id, offset=50)
    for actor_id, data in events:
        evolve(made, actor_id, data, 0)  # type: ignore[arg-type]
    return {chat_id: made}


def draft(**more: str) -> Draft:
    return Draft(ROOM, uuid7(NOON), "TEXT", "hello", **more)


# --- Refusals and "already so" are advice of a view that may be behind ---------------------------------------


async def test_a_view_that_is_behind_is_asked_again_before_it_is_believed() -> None:
    world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP), (ANA, MemberAdded(CLEO))))
    position = await (await world.commands().send(CLEO, draft()))
    assert position == Position(0, 101)
    assert (world.types(), world.waits) == (["message.sent"], 1)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (Retitle(CLEO, "Mine"), NoSuchChat),
        (Retitle(BEN, "Mine"), Forbidden),
        (Read(ANA, 9), BeyondHead),
        (Leave(CLEO), NoSuchChat),
    ],
)
async def test_a_view_that_has_caught_up_is_believed(command: ChatCommand, error: type[TidingsError]) -> None:
    world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP)))
    with pytest.raises(error):
        await world.commands().submit(command, ROOM)
    assert (world.logged, world.waits) == ([], 1)


async def test_who_left_and_joins_again_is_not_in_already() -> None:
    world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP), (BEN, MemberLeft(BEN))))
    await world.commands().submit(Join(BEN), ROOM)
    assert world.types() == ["member.joined"]


async def test_what_is_so_already_is_answered_with_where_the_chat_stands() -> None:
    world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP)))
    accepted = await world.commands().carry_out(Open(ANA, True), ROOM)
    assert accepted == Accepted(Position(0, 50), changed=False, folded=True)
    assert world.logged == []


async def test_a_mark_that_moves_nothing_waits_for_nothing() -> None:
    world = World(view=chat((ANA, GROUP)))
    for mark in (Deliver(ANA, 1), Read(ANA, 0)):
        assert await world.commands().submit(mark, ROOM) == Position(0, 50)
    assert (world.logged, world.waits) == ([], 0)


@pytest.mark.parametrize("command", [Retitle(CLEO, "Mine"), Retitle(BEN, "Mine"), Read(ANA, 9), Join(BEN)])
async def test_where_the_fold_does_not_catch_up_it_judges_later(command: ChatCommand) -> None:
    world = World(view=chat((ANA, GROUP)), settle=None)
    await world.commands().submit(command, ROOM)
    assert len(world.logged) == 1


async def test_what_can_never_be_is_refused_even_then() -> None:
    world = World(view=chat((ANA, PAIR), chat_id=DIRECT), settle=None)
    with pytest.raises(DirectChat):
        await world.commands().submit(Retitle(ANA, "Us"), DIRECT)
    assert world.logged == []


@pytest.mark.parametrize("chat_id", ["", "x", "\0", ROOM.upper(), "00000000-0000-4000-8000-000000000000"])
async def test_what_is_no_chat_id_is_refused_at_once(chat_id: str) -> None:
    world = World(settle=None)
    with pytest.raises(NoSuchChat):
        await world.commands().submit(Join(ANA), chat_id)
    assert (world.logged, world.waits) == ([], 0)


# --- What callers are told -----------------------------------------------------------------------------------


async def test_a_command_of_several_events_has_the_position_of_the_last() -> None:
    world = World(view=chat((ANA, GROUP)), settle={})
    accepted = await world.commands().carry_out(Add(ANA, (CLEO, uuid7(NOON))), ROOM)
    assert accepted == Accepted(Position(0, 102), changed=True, folded=True)
    assert world.types() == ["member.added", "member.added"]


async def test_thousands_are_added_in_parts_with_turns_for_others_between() -> None:
    world = World(view=chat((ANA, GROUP)), settle={})
    adding = world.commands().carry_out(Add(ANA, tuple(uuid7(NOON) for _ in range(1_000))), ROOM)
    task = asyncio.create_task(adding)
    seen = set()
    while not task.done():
        await asyncio.sleep(0)
        seen.add(len(world.logged))
    assert (await task).position == Position(0, 1_100)
    assert len(seen - {0, 1_000}) >= 3


async def test_a_command_that_the_views_do_not_show_yet_says_so() -> None:
    world = World(view=chat((ANA, GROUP)), settle=None)
    accepted = await world.commands().carry_out(Remove(ANA, BEN), ROOM)
    assert accepted == Accepted(Position(0, 101), changed=True, folded=False)


async def test_what_the_fold_refused_is_raised() -> None:
    world = World(view=chat((ANA, GROUP)), settle={}, refused={101: "forbidden"})
    with pytest.raises(Forbidden):
        await world.commands().carry_out(Retitle(ANA, "Mine"), ROOM)
    assert len(world.logged) == 1


async def test_another_commands_refusal_is_not_ones_own() -> None:
    """A command that changes nothing answers with the chat's last record, which may have been refused."""
    world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP)), refused={50: "forbidden"})
    assert not (await world.commands().carry_out(Open(ANA, True), ROOM)).changed


async def test_an_unknown_outcome_is_told_as_such() -> None:
    world = World(view=chat((ANA, GROUP)), log_is_down=True)
    with pytest.raises(Unavailable):
        await world.commands().submit(Add(ANA, (CLEO, uuid7(NOON))), ROOM)
    with pytest.raises(Unavailable):
        await (await world.commands().send(ANA, draft()))


async def test_direct_chats_are_made_once() -> None:
    world = World(settle=chat((BEN, PAIR), chat_id=DIRECT))
    accepted = await world.commands().carry_out(CreateDirect(ANA, BEN), DIRECT)
    assert accepted.changed
    assert world.types() == ["chat.created"]
    world = World(view=chat((BEN, PAIR), chat_id=DIRECT), settle=chat((BEN, PAIR), chat_id=DIRECT))
    assert not (await world.commands().carry_out(CreateDirect(ANA, BEN), DIRECT)).changed


# --- Replies -------------------------------------------------------------------------------------------------


async def test_a_reply_to_a_message_of_the_chat_is_sent() -> None:
    question = uuid7(NOON)
    world = World(view=chat((ANA, GROUP)), messages={question: 2})
    await (await world.commands().send(ANA, draft(reply_to_message=question)))
    assert (world.types(), world.waits) == (["message.sent"], 0)


@pytest.mark.parametrize(
    ("reply_to", "settles", "error"),
    [(uuid7(NOON), True, BadReply), (uuid7(NOON), False, NotYet), ("x", True, BadReply), ("", False, BadReply)],
)
async def test_a_reply_to_nothing_is_refused_once_that_is_certain(
    reply_to: str, settles: bool, error: type[TidingsError]
) -> None:
    world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP)) if settles else None)
    with pytest.raises(error):
        await world.commands().send(ANA, draft(reply_to_message=reply_to))
    assert world.logged == []


async def test_outsiders_learn_nothing_from_replies() -> None:
    for reply_to in (uuid7(NOON), "x"):
        world = World(view=chat((ANA, GROUP)), settle=chat((ANA, GROUP)))
        with pytest.raises(NoSuchChat):
            await world.commands().send(CLEO, draft(reply_to_message=reply_to))


async def test_a_reply_to_what_this_process_has_just_queued_is_sent() -> None:
    world = World(view=chat((ANA, GROUP)))
    commands, first = world.commands(), draft()
    await commands.send(ANA, first)
    await commands.send(BEN, draft(reply_to_message=first.message_id))
    assert (world.types(), world.waits) == (["message.sent", "message.sent"], 0)


async def test_what_was_queued_for_another_chat_is_no_message_of_this_one() -> None:
    view = chat((ANA, GROUP)) | chat((ANA, GROUP), chat_id=OTHER_ROOM)
    world = World(view=view, settle=view)
    commands, elsewhere = world.commands(), replace(draft(), chat_id=OTHER_ROOM)
    await commands.send(ANA, elsewhere)
    with pytest.raises(BadReply):
        await commands.send(ANA, draft(reply_to_message=elsewhere.message_id))


async def test_what_was_queued_and_refused_is_no_message_to_answer() -> None:
    world = World(view=chat((ANA, GROUP)))
    commands, first = world.commands(), draft()
    await commands.send(ANA, first)
    world.messages[first.message_id] = 0
    with pytest.raises(BadReply):
        await commands.send(ANA, draft(reply_to_message=first.message_id))


async def test_a_reply_to_what_was_queued_needs_no_views() -> None:
    world = World(view=chat((ANA, GROUP)))
    commands, first = world.commands(), draft()
    await commands.send(ANA, first)
    world.messages_are_away = True
    await commands.send(ANA, draft(reply_to_message=first.message_id))
    with pytest.raises(Unavailable):
        await commands.send(ANA, draft(reply_to_message=uuid7(NOON)))


@pytest.mark.parametrize(("seq", "is_taken"), [(1, False), (2, False), (3, True), (4, True)])
async def test_what_came_before_ones_own_time_cannot_be_answered(seq: int, is_taken: bool) -> None:
    closed = ChatCreated("group", "Tea", False, "since_join", [ANA, BEN])
    told, question = (ANA, MessageSent(uuid7(NOON), "TEXT", b"")), uuid7(NOON)
    view = chat((ANA, closed), told, (ANA, MemberAdded(CLEO)), told)
    world = World(view=view, settle=view, messages={question: seq})
    answer = draft(reply_to_message=question)
    if is_taken:
        await world.commands().send(CLEO, answer)
    else:
        with pytest.raises(BadReply):
            await world.commands().send(CLEO, answer)
    await world.commands().send(ANA, replace(answer, message_id=uuid7(NOON)))


def test_recent_ids_are_bounded_and_the_newest_are_kept() -> None:
    recent = RecentIds(kept=3)
    for number in range(20):
        recent.note(ROOM, f"id {number}")
        assert all(recent.has(ROOM, f"id {back}") for back in range(max(0, number - 2), number + 1))
        assert not recent.has(OTHER_ROOM, f"id {number}")
    assert not recent.has(ROOM, "id 0")


# --- Leaving all chats ---------------------------------------------------------------------------------------


@dataclass
class Memberships:
    """What `chats_of` answers, call by call; the last answer stays."""

    answers: list[list[str]]

    async def chats_of(self, user_id: str) -> list[str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def rooms(count: int) -> dict[str, Chat]:
    found: dict[str, Chat] = {}
    for _ in range(count):
        found |= chat((BEN, GROUP), chat_id=uuid7(NOON))
    return found


async def test_everything_is_left_however_much_it_is_and_direct_chats_too() -> None:
    view = rooms(AT_ONCE + 5) | chat((ANA, PAIR), chat_id=DIRECT)
    world = World(view=view, settle=view)
    departure = Departure(world.commands(), world, world, Memberships([list(view), []]))
    await departure.leave_all_chats(ANA)
    left = [event for event in world.logged if event.type == "member.left"]
    assert {event.chat_id for event in left} == view.keys()
    assert all(event.data == MemberLeft(ANA, "erased") for event in left)


async def test_a_chat_that_the_views_do_not_show_yet_is_left_too() -> None:
    world = World(view={}, settle=rooms(1))

    class Shown:
        async def chats_of(self, user_id: str) -> list[str]:
            """Those that the user has not left, as far as the views are."""
            left = {event.chat_id for event in world.logged}
            return [chat_id for chat_id in world.view if chat_id not in left]

    await Departure(world.commands(), world, world, Shown()).leave_all_chats(ANA)
    assert world.types() == ["member.left"]


async def test_who_is_added_meanwhile_leaves_again() -> None:
    view = rooms(2)
    one, other = view
    world = World(view=view, settle=view)
    departure = Departure(world.commands(), world, world, Memberships([[one], [other], []]))
    await departure.leave_all_chats(ANA)
    assert [event.chat_id for event in world.logged if event.type == "member.left"] == [one, other]


@pytest.mark.parametrize("settles", [True, False])
async def test_leaving_that_does_not_come_to_an_end_says_so(settles: bool) -> None:
    view = rooms(1)
    world = World(view=view, settle=view if settles else None)
    departure = Departure(world.commands(), world, world, Memberships([list(view)]))
    with pytest.raises(NotYet):
        await departure.leave_all_chats(ANA)
