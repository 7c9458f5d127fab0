"""Who is online."""

from __future__ import annotations

from fastapi import Response

from api.http.chat_bodies import PresenceQuery
from api.http.chat_shapes import PresenceAnswer, answer, content
from api.http.routing import Asker, make_router
from api.http.settled import Chats

router = make_router("presence")


@router.post("/v1/presence/query", responses={200: content(PresenceAnswer, "One item for each id, in order.")})
async def presence(body: PresenceQuery, caller: Asker, chats: Chats) -> Response:
    """Who is online. Told about people who share a chat with the caller; all others read as offline."""
    return answer(PresenceAnswer(await chats.presence.query(caller.user_id, body.user_ids)))
