"""Chats as they were, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api.bodies import masked, opened, sealed
from api.http.chat_bodies import MAX_SEQ
from api.http.chat_shapes import answer, content
from api.http.models import Limit
from api.http.routing import Operator, Svc, make_router, problems
from api.http.settled import Chats
from api.past import Past, PastAnswer
from commands.errors import FieldError, Forbidden, Invalid, NoSuchChat
from events.log import Position
from projections.timeline import END
from streams.places import BadPlace

router = make_router("admin")


@router.get(
    "/v1/admin/chats/{chat_id}",
    responses={200: content(PastAnswer, "The chat as it was."), **problems(NoSuchChat, Forbidden)},
)
async def chat_as_of(
    chat_id: str,
    caller: Operator,
    services: Svc,
    chats: Chats,
    as_of: Annotated[
        str, Query(max_length=200, description="A time, a position such as 0:42, or -1h; what is there counts in.")
    ] = "end",
    before_seq: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
    limit: Annotated[Limit, Query()] = 50,
    reveal: Annotated[bool, Query(description="Open message bodies. Who does so is noted.")] = False,
) -> Response:
    """A chat as it was at a time or position, folded from the log. Bodies stay sealed unless `reveal` is given."""
    assert services.time_machine is not None, "this route is only there with what it needs"
    try:
        views = await services.time_machine.views_of(chat_id, as_of)
    except BadPlace as error:
        raise Invalid(f"as_of: {error}", errors=(FieldError("as_of", str(error)),)) from error
    past = Past(views)
    chat = await past.chat(chat_id)
    entries, has_more = await past.messages(chat, END if before_seq is None else before_seq, limit)
    if reveal:
        await services.time_machine.note(caller.user_id, f"chat {chat_id} as of {as_of}")
        bodies = opened(entries, await chats.sealer.opened(sealed(entries)))
    else:
        bodies = masked(entries)
    place = str(Position(chats.commands.partition_of(chat_id), chat.offset))
    return answer(past.answer(chat, place, entries, bodies, has_more))
