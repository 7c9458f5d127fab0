"""The law: what may happen to a chat. Deciders ask it in advance, the fold asks it with authority."""

from __future__ import annotations

from typing import assert_never

from commands.chat import MAX_MEMBERS, Chat, Member
from events.ids import direct_chat_id, is_uuid7
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

FUTURE_MS = 120_000
"""How far a client's id may be ahead of the event's time."""

Code = str
"""A refusal code of the client contract; each has a class in `commands/errors.py`."""


def refusal(chat: Chat, actor_id: str, data: EventData) -> Code | None:
    """Why this event may not happen to `chat`, or None where it may. Costs no look-up beyond the state."""
    if isinstance(data, ChatCreated):
        return _creation(chat, actor_id, data)
    actor = chat.members.get(actor_id)
    if isinstance(data, MessageSent):
        return None if actor else "no_such_chat"
    if isinstance(data, MemberJoined):
        return _joining(chat, actor, actor_id, data)
    if actor is None:
        return "no_such_chat"
    match data:
        case MessageDelivered(up_to_seq) | MessageRead(up_to_seq):
            return "beyond_head" if up_to_seq > chat.seq else None
        case MemberLeft(user_id, reason):
            if user_id != actor_id:
                return "forbidden"
            return "direct_chat" if chat.kind == "direct" and reason != "erased" else None
    if chat.kind == "direct":
        return "direct_chat"
    match data:
        case ChatRetitled() | ChatOpened():
            return "forbidden" if actor.role == "member" else None
        case MemberAdded(user_id):
            if actor.role == "member":
                return "forbidden"
            full = len(chat.members) >= MAX_MEMBERS and user_id not in chat.members
            return "group_full" if full else None
        case MemberRemoved(user_id):
            return _removing(chat, actor, user_id)
        case RoleChanged(user_id, role):
            if actor.role != "owner":
                return "forbidden"
            if user_id not in chat.members:
                return "no_such_user"
            # A group always has an owner: the role is handed over, never laid down.
            return "forbidden" if user_id == actor_id and role != "owner" else None
        case _:
            assert_never(data)


def changes_nothing(chat: Chat, actor_id: str, data: EventData) -> bool:
    """Whether an admitted event leaves the chat as it is, so that it takes no seq."""
    match data:
        case MessageSent() | MemberLeft():
            return False
        case MessageDelivered(up_to_seq):
            return up_to_seq <= chat.members[actor_id].delivered_seq
        case MessageRead(up_to_seq):
            return up_to_seq <= chat.members[actor_id].read_seq
        case ChatCreated():
            return chat.exists
        case ChatRetitled(title):
            return title == chat.title
        case ChatOpened(opened):
            return opened == chat.open
        case MemberJoined(user_id) | MemberAdded(user_id):
            return user_id in chat.members
        case MemberRemoved(user_id):
            return user_id not in chat.members
        case RoleChanged(user_id, role):
            return chat.members[user_id].role == role
        case _:
            assert_never(data)


def _creation(chat: Chat, actor_id: str, data: ChatCreated) -> Code | None:
    """Direct ids are derived and reserved; a group's is minted, and belongs to who used it first."""
    first = data.member_ids
    if actor_id not in first or len(set(first)) != len(first):
        return "invalid"
    if data.kind == "direct":
        derived = len(first) == 2 and direct_chat_id(*first) == chat.chat_id
        return None if derived and data.title is None and not data.open else "invalid"
    if data.title is None or not is_uuid7(chat.chat_id):
        return "invalid"
    if len(first) > MAX_MEMBERS:
        return "group_full"
    return "chat_id_taken" if chat.exists and chat.created_by != actor_id else None


def _joining(chat: Chat, actor: Member | None, actor_id: str, data: MemberJoined) -> Code | None:
    if data.user_id != actor_id:
        return "forbidden"
    if actor is not None:
        return "direct_chat" if chat.kind == "direct" else None
    if not chat.open:
        return "no_such_chat"
    return "group_full" if len(chat.members) >= MAX_MEMBERS else None


def _removing(chat: Chat, actor: Member, user_id: str) -> Code | None:
    """The owner removes anyone, an admin plain members. Oneself one does not remove: one leaves."""
    if actor.role == "member" or user_id == actor.user_id:
        return "forbidden"
    target = chat.members.get(user_id)
    if actor.role == "admin" and target is not None and target.role != "member":
        return "forbidden"
    return None
