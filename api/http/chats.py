"""Chats: the list, making them, what they are called, and muting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api.chat_services import ChatServices
from api.cursors import InboxCursor, decode, encode
from api.http.chat_bodies import ChatPatch, Mute, NewGroup
from api.http.chat_shapes import (
    ChatAnswer,
    ChatPendingAnswer,
    ChatPositionAnswer,
    InboxAnswer,
    InboxItemShape,
    MuteAnswer,
    answer,
    content,
)
from api.http.known import check_known
from api.http.models import Limit, shown
from api.http.routing import Commander, Responses, Svc, make_router, problems
from api.http.settled import Chats, Reader, commands_answers, concluded, read_answers
from api.http.shown import chat_shapes, message_shapes
from api.render import rfc3339
from api.services import Services
from commands.chat import MAX_MEMBERS
from commands.decide import Add, CreateDirect, CreateGroup, Open, Retitle
from commands.errors import (
    BadCursor,
    ChatIdTaken,
    DirectChat,
    Forbidden,
    GroupFull,
    IdFromFuture,
    Invalid,
    NoSuchChat,
    NoSuchUser,
)
from commands.handlers import Accepted
from commands.rules import FUTURE_MS
from events.ids import direct_chat_id, id_ms, unix_ms, uuid7
from events.log import Position
from projections.inbox import inbox, own_chat

LAST_MESSAGE_CHARACTERS = 200

router = make_router("chats")

_CREATED: Responses = {
    200: content(ChatPositionAnswer, "The chat was there already."),
    201: content(ChatPositionAnswer, "The chat is new."),
    202: content(ChatPendingAnswer, "The log has it; the views do not show the chat yet."),
}


@router.get("/v1/chats", responses=read_answers(content(InboxAnswer, "A page of the list."), BadCursor))
async def chat_list(
    caller: Reader,
    services: Svc,
    chats: Chats,
    cursor: Annotated[str | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Response:
    """One's chats, newest activity first."""
    after = None
    if cursor is not None:
        given = decode(cursor, InboxCursor)
        after = (given.at_us, given.chat_id)
    page = await inbox(chats.views, caller.user_id, after, limit)
    summaries = [item.summary for item in page.items]
    shapes = await chat_shapes(chats, services.accounts, caller.user_id, summaries)
    last = await message_shapes(
        chats,
        caller.user_id,
        [item.last_message for item in page.items if item.last_message is not None],
        {each.chat.chat_id: (each.others_delivered, each.others_read) for each in summaries},
        longest=LAST_MESSAGE_CHARACTERS,
    )
    last_of = {message.chat_id: message for message in last}
    items = [
        InboxItemShape(
            chat=shape,
            head_seq=item.summary.chat.seq,
            unread=item.unread,
            read_seq=item.summary.own.read_seq,
            others_delivered_seq=item.others_delivered_seq,
            others_read_seq=item.others_read_seq,
            last_message=last_of.get(shape.chat_id),
            activity_at=rfc3339(item.summary.chat.at_us),
        )
        for item, shape in zip(page.items, shapes, strict=True)
    ]
    following = page.next_place
    return answer(InboxAnswer(items, None if following is None else encode(InboxCursor(*following))))


@router.post(
    "/v1/chats", status_code=201, responses=_CREATED | problems(NoSuchUser, ChatIdTaken, GroupFull, IdFromFuture)
)
async def create_group(body: NewGroup, caller: Commander, services: Svc, chats: Chats) -> Response:
    """Make a group. With a `chat_id` of the client's own the call may be repeated."""
    creator_id = caller.user_id
    now = services.now()
    chat_id = body.chat_id or uuid7(now)
    if id_ms(chat_id) > unix_ms(now) + FUTURE_MS:
        raise IdFromFuture("chat_id is more than two minutes ahead of the server's clock")
    first = tuple(dict.fromkeys((creator_id, *body.member_ids)))
    if len(first) > MAX_MEMBERS:
        raise GroupFull(f"a group has at most {MAX_MEMBERS} members")
    existing = await chats.views.chat(chat_id) if body.chat_id else None
    # Whoever was erased since the first call does not spoil its repeat.
    if existing is None or not existing.exists:
        await check_known(services, first)
        services.limits.approaches.make_chat(creator_id)
        services.limits.approaches.bring(creator_id, first)
    command = CreateGroup(creator_id, body.title, first, body.open, body.history)
    return await _created(services, chats, creator_id, chat_id, await chats.commands.carry_out(command, chat_id))


@router.put("/v1/chats/direct/{user_id}", responses=_CREATED | problems(NoSuchUser))
async def direct_chat(user_id: str, caller: Commander, services: Svc, chats: Chats) -> Response:
    """The chat of the caller and one other: always the same one, made when it is first asked for."""
    if user_id == caller.user_id:
        raise Invalid("a direct chat is with somebody else")
    await check_known(services, (user_id,))
    chat_id = direct_chat_id(caller.user_id, user_id)
    existing = await chats.views.chat(chat_id)
    if existing is None or not existing.exists:
        services.limits.approaches.make_chat(caller.user_id)
        services.limits.approaches.bring(caller.user_id, (user_id,))
    accepted = await chats.commands.carry_out(CreateDirect(caller.user_id, user_id), chat_id)
    return await _created(services, chats, caller.user_id, chat_id, accepted)


@router.get("/v1/chats/{chat_id}", responses=read_answers(content(ChatAnswer, "The chat."), NoSuchChat))
async def one_chat(chat_id: str, caller: Reader, services: Svc, chats: Chats) -> Response:
    """One chat. Members are listed in chats of up to 50."""
    summary = await own_chat(chats.views, caller.user_id, chat_id)
    (shape,) = await chat_shapes(chats, services.accounts, caller.user_id, [summary])
    return answer(ChatAnswer(shape))


@router.patch("/v1/chats/{chat_id}", responses=commands_answers(Forbidden, DirectChat))
async def change_chat(chat_id: str, body: ChatPatch, caller: Commander, chats: Chats) -> Response:
    """Change what is given; the rest stays. For owner and admins."""
    given = body.model_fields_set
    commands: list[Retitle | Open | Add] = []
    if "title" in given:
        commands.append(Retitle(caller.user_id, body.title))
    if "open" in given:
        commands.append(Open(caller.user_id, body.open))
    # Adding oneself changes nothing either, and asks for the same rights.
    for command in commands or [Add(caller.user_id, (caller.user_id,))]:
        accepted = await chats.commands.carry_out(command, chat_id)
    return concluded(accepted)


@router.put("/v1/chats/{chat_id}/mute", responses={200: content(MuteAnswer, "Done."), **problems(NoSuchChat)})
async def mute_chat(chat_id: str, body: Mute, caller: Commander, services: Svc, chats: Chats) -> Response:
    """No notifications from this chat until a time; null ends that."""
    summary = await own_chat(chats.views, caller.user_id, chat_id)
    await services.accounts.set_mute(caller.user_id, chat_id, body.until)
    until = (await services.accounts.mute_until(caller.user_id, [chat_id])).get(chat_id)
    position = Position(chats.commands.partition_of(chat_id), summary.chat.offset)
    return answer(MuteAnswer(None if until is None else shown(until), str(position)))


async def _created(services: Services, chats: ChatServices, user_id: str, chat_id: str, accepted: Accepted) -> Response:
    position = str(accepted.position)
    if not accepted.folded:
        return answer(ChatPendingAnswer(chat_id, position), 202)
    summary = await own_chat(chats.views, user_id, chat_id)
    (shape,) = await chat_shapes(chats, services.accounts, user_id, [summary])
    is_new = accepted.changed and await _made_by(chats, chat_id, accepted.position)
    return answer(ChatPositionAnswer(shape, position), 201 if is_new else 200)


async def _made_by(chats: ChatServices, chat_id: str, position: Position) -> bool:
    """Whether it is this record that made the chat: of several who ask at once, wherever, one is the first."""
    return any(entry.offset == position.offset for entry in await chats.views.entries_at([(chat_id, 1)]))
