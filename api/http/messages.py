"""What is said in a chat, what happened in it, and who has seen how much of that."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from msgspec import UNSET

from api.chat_services import ChatServices
from api.http.chat_bodies import MAX_SEQ, NewMessage, UpTo
from api.http.chat_shapes import (
    EventsAnswer,
    MessageAnswer,
    MessagePendingAnswer,
    MessagePositionAnswer,
    MessagesAnswer,
    ReceiptsAnswer,
    answer,
    content,
)
from api.http.models import Limit, Micros
from api.http.routing import Caller, Marker, Svc, make_router, problem_response, problems
from api.http.settled import Chats, Reader, commands_answers, concluded, read_answers
from api.http.shown import entry_shapes, message_shapes
from api.shapes import MessageShape
from commands.errors import (
    BadReply,
    BeyondHead,
    Conflict,
    FieldError,
    Gone,
    IdFromFuture,
    IdTaken,
    Invalid,
    NoSuchChat,
    NoSuchFile,
    NoSuchMessage,
    RateLimited,
    TooLarge,
    Unavailable,
    error_for,
)
from commands.handlers import WAIT_S, Accepted, Draft, promptly
from commands.receipts import MarkKind
from events.ids import is_uuid7
from events.log import Position
from projections.inbox import own_chat
from projections.ports import FirstUse, Summary
from projections.receipts import receipts
from projections.timeline import END, bound_before, events_after, message_at, messages_after, newest_messages

router = make_router("messages")

SeqBound = Annotated[int | None, Query(ge=0, le=MAX_SEQ)]


class WasRefused(Conflict):
    """The message that was asked for has been refused, for the reason that `code` names."""

    def __init__(self, code: str) -> None:
        super().__init__("the chat refused this message")
        self.code = code  # type: ignore[misc]  # of this one, not of the class


@router.post(
    "/v1/chats/{chat_id}/messages",
    status_code=201,
    responses={
        200: content(MessagePositionAnswer, "A repeat: what became of the message when it first came."),
        201: content(MessagePositionAnswer, "Sent."),
        202: content(MessagePendingAnswer, "The log has it; the views do not show it yet."),
        **problems(NoSuchChat, NoSuchFile, IdTaken, Gone, TooLarge, BadReply, IdFromFuture, RateLimited),
    },
)
async def send(chat_id: str, body: NewMessage, caller: Caller, services: Svc, chats: Chats) -> Response:
    """Send a message. Repeat it with the same `message_id` whenever the answer was lost: it is sent once."""
    headers = services.limits.sends.enforce(caller.user_id)
    draft = Draft(chat_id, body.message_id, body.kind, body.text or "", body.file_id, body.reply_to_message)
    chats.commands.check(draft)
    first = await _first_use(chats, draft)
    if first is not None:
        repeated = await _repeat(chats, caller.user_id, first)
        if repeated is not None:
            return answer(repeated, 200, headers)
    position = await (await chats.commands.send(caller.user_id, draft))
    pending = MessagePendingAnswer(body.message_id, str(position))
    if not await chats.commands.folded(chat_id, position):
        return answer(pending, 202, headers)
    try:
        code = await chats.commands.refusal_at(chat_id, position)
        use = await chats.views.first_use(chat_id, body.message_id)
    except Unavailable:  # gone in this very moment; the log has it
        return answer(pending, 202, headers)
    if code is not None:
        raise error_for(code)
    if use is None:  # its chat is parked: an operator decides what becomes of it
        return answer(pending, 202, headers)
    # Another record may have brought the id in the meantime: this one was its repeat.
    status = 201 if use.offset == position.offset else 200
    return answer(await _first_result(chats, caller.user_id, use), status, headers)


async def _first_use(chats: ChatServices, draft: Draft) -> FirstUse | None:
    """What the views know of the id. While they are away, nothing: the fold knows a repeat when it sees one."""
    try:
        return await promptly(chats.views.first_use(draft.chat_id, draft.message_id), WAIT_S)
    except Unavailable:
        return None


async def _repeat(chats: ChatServices, user_id: str, first: FirstUse) -> MessagePositionAnswer | None:
    """The first result of one's own message, whoever one is by now. Raises the refusal it was, or IdTaken.

    None where an id that is another's must not be told to this user.
    """
    if first.actor_id == user_id:
        return await _first_result(chats, user_id, first)
    if await chats.views.summaries(user_id, [first.chat_id]):
        raise IdTaken("this message_id belongs to another message")
    return None


async def _first_result(chats: ChatServices, user_id: str, use: FirstUse) -> MessagePositionAnswer:
    if use.code is not None:
        raise error_for(use.code)
    message = await _message(chats, user_id, use, await chats.views.summaries(user_id, [use.chat_id]))
    return MessagePositionAnswer(message, str(Position(chats.commands.partition_of(use.chat_id), use.offset)))


async def _message(chats: ChatServices, user_id: str, use: FirstUse, summaries: list[Summary]) -> MessageShape:
    others = {each.chat.chat_id: (each.others_delivered, each.others_read) for each in summaries}
    entry = await message_at(chats.views, use)
    (shape,) = await message_shapes(chats, user_id, [entry], others)
    return shape


@router.get(
    "/v1/chats/{chat_id}/messages",
    responses=read_answers(content(MessagesAnswer, "A page of messages."), NoSuchChat),
)
async def message_list(
    chat_id: str,
    caller: Reader,
    chats: Chats,
    before_seq: SeqBound = None,
    after_seq: SeqBound = None,
    before: Annotated[Micros | None, Query(description="Messages sent earlier than this time.")] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Response:
    """Messages, oldest first; without bounds the newest ones. A page may end early at 1 MiB."""
    if after_seq is not None and (before_seq is not None or before is not None):
        raise Invalid("give before or after, not both", errors=(FieldError("after_seq", "not with before"),))
    summary = await own_chat(chats.views, caller.user_id, chat_id)
    if after_seq is not None:
        page = await messages_after(chats.views, summary, after_seq, limit)
    else:
        bound = END if before_seq is None else before_seq
        if before is not None:
            # Times are shown in whole milliseconds, so they are compared so.
            bound = min(bound, await bound_before(chats.views, chat_id, -(-before // 1000) * 1000))
        page = await newest_messages(chats.views, summary, bound, limit)
    others = {chat_id: (summary.others_delivered, summary.others_read)}
    return answer(MessagesAnswer(await message_shapes(chats, caller.user_id, page.entries, others), page.has_more))


@router.get(
    "/v1/chats/{chat_id}/messages/{message_id}",
    responses={
        **read_answers(content(MessageAnswer, "The message."), NoSuchChat, NoSuchMessage),
        409: problem_response("The message was refused, with the code that sending it had."),
    },
)
async def one_message(chat_id: str, message_id: str, caller: Reader, chats: Chats) -> Response:
    """One message. One's own that was refused answers 409 with the `code` of the refusal, in or out of the chat."""
    use = await chats.views.first_use(chat_id, message_id) if is_uuid7(message_id) else None
    if use is not None and use.code is not None and use.actor_id == caller.user_id:
        raise WasRefused(use.code)
    summary = await own_chat(chats.views, caller.user_id, chat_id)
    if use is None or use.code is not None or use.seq < summary.own.visible_from:
        raise NoSuchMessage("this id names no message that you can see")
    return answer(MessageAnswer(await _message(chats, caller.user_id, use, [summary])))


@router.get(
    "/v1/chats/{chat_id}/events", responses=read_answers(content(EventsAnswer, "A page of events."), NoSuchChat)
)
async def event_list(
    chat_id: str,
    caller: Reader,
    chats: Chats,
    after_seq: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    limit: Annotated[Limit, Query()] = 50,
) -> Response:
    """What a client that stopped at `after_seq` missed, in order. A page may end early at 1 MiB.

    Where `after_seq` is beyond the chat's newest event, `head_seq` tells that one: the log was restored from an older
    copy, and what the client keeps of this chat must be fetched anew."""
    summary = await own_chat(chats.views, caller.user_id, chat_id)
    page = await events_after(chats.views, summary, after_seq, limit)
    beyond = after_seq > summary.chat.seq
    return answer(
        EventsAnswer(await entry_shapes(chats, page.entries), page.has_more, summary.chat.seq if beyond else UNSET)
    )


@router.post("/v1/chats/{chat_id}/delivered", responses=commands_answers(BeyondHead))
async def delivered(chat_id: str, body: UpTo, caller: Marker, chats: Chats) -> Response:
    """Everything up to this seq has reached the caller. Never moves back."""
    return await _mark(chats, caller.user_id, chat_id, "delivered", body.up_to_seq)


@router.post("/v1/chats/{chat_id}/read", responses=commands_answers(BeyondHead))
async def read(chat_id: str, body: UpTo, caller: Marker, chats: Chats) -> Response:
    """The caller has read everything up to this seq, and so has it. Never moves back."""
    return await _mark(chats, caller.user_id, chat_id, "read", body.up_to_seq)


async def _mark(chats: ChatServices, user_id: str, chat_id: str, kind: MarkKind, up_to_seq: int) -> Response:
    position = await chats.receipts.mark(user_id, chat_id, kind, up_to_seq)
    folded = await chats.commands.folded(chat_id, position)
    if folded:
        refused = await chats.views.refused_at(chat_id, position.offset)
        # A mark that moved nothing answers with the chat's last record, which may be another command's.
        if refused is not None and refused.actor_id == user_id and refused.code in _MARK_REFUSALS:
            raise error_for(refused.code)
    return concluded(Accepted(position, changed=True, folded=folded))


_MARK_REFUSALS = (NoSuchChat.code, BeyondHead.code)


@router.get(
    "/v1/chats/{chat_id}/receipts", responses=read_answers(content(ReceiptsAnswer, "Every member's marks."), NoSuchChat)
)
async def receipt_list(chat_id: str, caller: Reader, chats: Chats) -> Response:
    """How far each member has got, oneself included. Marks on what the caller may not see read as 0."""
    chat = await chats.views.chat(chat_id)
    if chat is None or caller.user_id not in chat.members:
        raise NoSuchChat("you are in no chat with this id")
    return answer(ReceiptsAnswer(receipts(chat, caller.user_id)))
