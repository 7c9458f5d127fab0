"""Who is in a chat, and as what."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Query, Response

from api.cursors import MembersCursor, decode, encode
from api.http.chat_bodies import NewMembers, NewRole, NoFields
from api.http.chat_shapes import MembersAnswer, answer, content
from api.http.known import all_known
from api.http.models import Limit
from api.http.routing import Commander, Svc, make_router
from api.http.settled import Chats, Reader, commands_answers, concluded, read_answers
from api.shapes import MemberShape
from commands.chat import MAX_MEMBERS
from commands.decide import Add, ChangeRole, Join, Leave, Remove
from commands.errors import BadCursor, DirectChat, Forbidden, GroupFull, NoSuchChat, NoSuchUser, TidingsError
from projections.inbox import own_chat

router = make_router("members")

Nothing = Annotated[NoFields | None, Body()]


@router.get(
    "/v1/chats/{chat_id}/members",
    responses=read_answers(content(MembersAnswer, "A page of the list."), NoSuchChat, BadCursor),
)
async def member_list(
    chat_id: str,
    caller: Reader,
    chats: Chats,
    cursor: Annotated[str | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Response:
    """The members, by user id."""
    after = "" if cursor is None else decode(cursor, MembersCursor).user_id
    await own_chat(chats.views, caller.user_id, chat_id)
    found = await chats.views.members(chat_id, after, limit + 1)
    page = found[:limit]
    following = encode(MembersCursor(page[-1].user_id)) if len(found) > limit else None
    return answer(
        MembersAnswer([MemberShape(member.user_id, member.role, member.joined_seq) for member in page], following)
    )


@router.post(
    "/v1/chats/{chat_id}/members",
    responses=commands_answers(NoSuchUser, Forbidden, DirectChat, GroupFull),
)
async def add_members(chat_id: str, body: NewMembers, caller: Commander, services: Svc, chats: Chats) -> Response:
    """Add people. For owner and admins; who is a member already stays as they are."""
    user_ids = tuple(dict.fromkeys(body.user_ids))
    error: TidingsError | None = None
    if len(user_ids) > MAX_MEMBERS:
        error = GroupFull(f"a group has at most {MAX_MEMBERS} members")
    elif not await all_known(services, user_ids):
        error = NoSuchUser("not all of these ids name users")
    else:
        chat = await chats.views.chat(chat_id)
        own = None if chat is None else chat.members.get(caller.user_id)
        # What will be refused reaches nobody, so it must not count against those whom it names.
        if chat is not None and own is not None and own.role != "member":
            newcomers = [user_id for user_id in user_ids if user_id not in chat.members]
            services.limits.approaches.bring(caller.user_id, newcomers)
    # Adding oneself changes nothing: it only asks whether the caller may add anybody.
    adding = user_ids if user_ids and error is None else (caller.user_id,)
    accepted = await chats.commands.carry_out(Add(caller.user_id, adding), chat_id)
    if error is not None:
        raise error
    return concluded(accepted)


@router.delete("/v1/chats/{chat_id}/members/{user_id}", responses=commands_answers(NoSuchUser, Forbidden, DirectChat))
async def remove_member(chat_id: str, user_id: str, caller: Commander, services: Svc, chats: Chats) -> Response:
    """Remove somebody: the owner anyone, an admin plain members. Removing oneself is leaving."""
    if user_id == caller.user_id:
        return concluded(await chats.commands.carry_out(Leave(caller.user_id), chat_id))
    accepted = await chats.commands.carry_out(Remove(caller.user_id, user_id), chat_id)
    if not accepted.changed and not await all_known(services, (user_id,)):
        raise NoSuchUser("this id names no user")
    return concluded(accepted)


@router.put("/v1/chats/{chat_id}/members/{user_id}/role", responses=commands_answers(NoSuchUser, Forbidden, DirectChat))
async def change_role(chat_id: str, user_id: str, body: NewRole, caller: Commander, chats: Chats) -> Response:
    """Give a member another role. For the owner; `owner` hands the chat over."""
    return concluded(await chats.commands.carry_out(ChangeRole(caller.user_id, user_id, body.role), chat_id))


@router.post("/v1/chats/{chat_id}/join", responses=commands_answers(DirectChat, GroupFull))
async def join(chat_id: str, caller: Commander, chats: Chats, body: Nothing = None) -> Response:
    """Become a member of an open chat."""
    return concluded(await chats.commands.carry_out(Join(caller.user_id), chat_id))


@router.post("/v1/chats/{chat_id}/leave", responses=commands_answers(DirectChat))
async def leave(chat_id: str, caller: Commander, chats: Chats, body: Nothing = None) -> Response:
    """Leave. When the owner does, the longest-serving admin, else member, becomes owner."""
    return concluded(await chats.commands.carry_out(Leave(caller.user_id), chat_id))
