"""Commands and their decider: `decide(command, chat)` gives the events that should happen.

An empty list means "already so". A refusal is raised as the error that carries its code. Against a read
model some milliseconds old the answer is advice: the fold decides with the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from commands.chat import MAX_MEMBERS, Chat, successor
from commands.errors import error_for
from commands.lines import MAX_TITLE, check_line
from commands.rules import changes_nothing, refusal
from events.types import (
    ChatCreated,
    ChatOpened,
    ChatRetitled,
    EventData,
    History,
    MemberAdded,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MessageDelivered,
    MessageKind,
    MessageRead,
    MessageSent,
    Role,
    RoleChanged,
)


@dataclass(frozen=True, slots=True)
class Command:
    actor_id: str


@dataclass(frozen=True, slots=True)
class Send(Command):
    message_id: str
    kind: MessageKind
    body: bytes
    file_id: str | None = None
    reply_to_message: str | None = None


@dataclass(frozen=True, slots=True)
class Deliver(Command):
    up_to_seq: int


@dataclass(frozen=True, slots=True)
class Read(Command):
    up_to_seq: int


@dataclass(frozen=True, slots=True)
class CreateDirect(Command):
    other_id: str


@dataclass(frozen=True, slots=True)
class CreateGroup(Command):
    title: str
    member_ids: tuple[str, ...]
    open: bool = False
    history: History | None = None
    """None: `all` in an open chat, else `since_join`."""


@dataclass(frozen=True, slots=True)
class Retitle(Command):
    title: str


@dataclass(frozen=True, slots=True)
class Open(Command):
    open: bool


@dataclass(frozen=True, slots=True)
class Add(Command):
    user_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remove(Command):
    user_id: str


@dataclass(frozen=True, slots=True)
class Join(Command):
    pass


@dataclass(frozen=True, slots=True)
class Leave(Command):
    pass


@dataclass(frozen=True, slots=True)
class ChangeRole(Command):
    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class EraseUser(Command):
    """Leave this chat for ever, a direct one too. The key's destruction is the accounts' part."""


ChatCommand = (
    Send
    | Deliver
    | Read
    | CreateDirect
    | CreateGroup
    | Retitle
    | Open
    | Add
    | Remove
    | Join
    | Leave
    | ChangeRole
    | EraseUser
)


def decide(command: ChatCommand, chat: Chat) -> list[EventData]:
    """The events that `command` makes of `chat`, in order. Raises the TidingsError of the refusal."""
    happening: list[EventData] = []
    for data in wanted(command, chat):
        code = refusal(chat, command.actor_id, data)
        if code is not None:
            raise error_for(code)
        if not changes_nothing(chat, command.actor_id, data):
            happening.append(data)
    if isinstance(command, Add) and len(chat.members) + len(happening) > MAX_MEMBERS:
        raise error_for("group_full")
    return happening


def wanted(command: ChatCommand, chat: Chat) -> list[EventData]:
    """The events that `command` asks for, before anybody judges them. Raises Invalid for a title that is none."""
    match command:
        case Send(_, message_id, kind, body, file_id, reply_to):
            return [MessageSent(message_id, kind, body, file_id, reply_to)]
        case Deliver(_, up_to_seq):
            return [MessageDelivered(up_to_seq)]
        case Read(_, up_to_seq):
            return [MessageRead(up_to_seq)]
        case CreateDirect(actor_id, other_id):
            return [ChatCreated("direct", None, False, "all", [actor_id, other_id])]
        case CreateGroup(actor_id, title, member_ids, opened, history):
            check_line("title", title, MAX_TITLE)
            first = list(dict.fromkeys((actor_id, *member_ids)))
            return [ChatCreated("group", title, opened, history or ("all" if opened else "since_join"), first)]
        case Retitle(_, title):
            check_line("title", title, MAX_TITLE)
            return [ChatRetitled(title)]
        case Open(_, opened):
            return [ChatOpened(opened)]
        case Add(_, user_ids):
            return [MemberAdded(user_id) for user_id in dict.fromkeys(user_ids)]
        case Remove(_, user_id):
            return [MemberRemoved(user_id)]
        case Join(actor_id):
            return [MemberJoined(actor_id)]
        case Leave(actor_id):
            return _leaving(chat, actor_id, MemberLeft(actor_id))
        case ChangeRole(_, user_id, role):
            return [RoleChanged(user_id, role)]
        case EraseUser(actor_id):
            if actor_id not in chat.members:
                return []
            return _leaving(chat, actor_id, MemberLeft(actor_id, "erased"))
        case _:
            assert_never(command)


def _leaving(chat: Chat, actor_id: str, left: MemberLeft) -> list[EventData]:
    """An owner hands over in an event of its own, which clients see; the fold's rule only covers races."""
    own = chat.members.get(actor_id)
    heir = successor(chat) if own is not None and own.role == "owner" else None
    return [RoleChanged(heir, "owner"), left] if heir is not None else [left]
