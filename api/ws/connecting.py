"""From a verified `connect` to an open session."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import TYPE_CHECKING

from api.render import rfc3339
from api.ws.catching import CatchingUp, CatchUp
from api.ws.frames import ChatState, Connect, Connected, Gone, Limited, ServerFrame
from api.ws.limits import BAD_TOKEN, OUR_ERROR
from api.ws.local import User
from api.ws.replay import MAX_EVENTS, MAX_PER_CHAT
from commands.chat import Member
from commands.errors import BadToken, Unavailable
from events.ids import unix_us
from projections.ports import Summary
from projections.receipts import shown

if TYPE_CHECKING:
    from api.ws.session import Session

log = logging.getLogger(__name__)


async def connect(session: Session, frame: Connect) -> None:
    """Find the user's chats, say `connected`, and open the session: from there on it is told everything."""
    gateway = session.gateway
    user = gateway.hub.arrive(session.user_id)
    settled = False
    try:
        found = await _find(session, frame, user)
        if found is None:
            return
        # Nothing waits from here to the end: what is said now and what is told from now on fit together.
        try:
            gateway.tokens.verify(frame.token)
        except BadToken as error:  # the sign-in ended meanwhile
            session.close(BAD_TOKEN, str(error))
            return
        gateway.hub.settle_in(user, session)
        settled = True
    finally:
        if not settled:
            gateway.hub.turn_away(user)
    gateway.joined(session, user)
    states, more = chat_states(user, found, gateway.limits.chats_shown)
    session.tell(
        Connected(
            reply_to=frame.id,
            user_id=session.user_id,
            session_id=session.session_id,
            heartbeat_s=gateway.limits.heartbeat_s,
            server_time=rfc3339(unix_us(gateway.now())),
            incarnation=gateway.incarnation,
            more=more,
            chats=states,
        )
    )
    resumed = resume(user, found, frame.resume or {})
    for said in resumed.frames:
        session.tell(said)
    if resumed.chats:
        session.catching = CatchingUp(session)
        session.catching.chats.update(resumed.chats)
    session.open(user)


async def _find(session: Session, frame: Connect, user: User) -> dict[str, Summary] | None:
    """What the views say of the user's chats; None if they are away."""
    hub = session.gateway.hub
    try:
        await hub.shared.sealer.warm([session.user_id])
    except Unavailable:
        log.warning(
            "the key of user %s is not at hand: their first send will ask for it",
            session.user_id,
            extra={"user_id": session.user_id, "session_id": session.session_id},
        )
    try:
        return await hub.find_chats(user)
    except Unavailable as error:
        session.refuse(frame.id, error)
        session.close(OUR_ERROR, "not available right now")
        return None


def chat_states(user: User, found: Mapping[str, Summary], limit: int) -> tuple[dict[str, ChatState], bool]:
    """Where the user's chats stand as of each one's cursor, the newest of them; and whether there are others."""
    rows: list[tuple[int, str, ChatState]] = []
    for chat_id, audience in user.chats.items():
        head, state, summary = audience.cursor, audience.chat, found.get(chat_id)
        if state is not None and user.user_id in state.members:
            own = state.members[user.user_id]
            marks = state.others_marks(user.user_id)
            rows.append((state.at_us, chat_id, _state(head, own, marks)))
        elif summary is not None:
            marks = (summary.others_delivered, summary.others_read)
            rows.append((summary.chat.at_us, chat_id, _state(head, summary.own, marks)))
        else:  # the views no longer have the user there: the leaving is on its way
            rows.append((0, chat_id, ChatState(head, head, 0, 0)))
    more = len(rows) > limit
    shown = nlargest(limit, rows, key=lambda row: row[:2]) if more else rows
    return {chat_id: state for _, chat_id, state in shown}, more


def _state(head: int, own: Member, others: tuple[int, int]) -> ChatState:
    delivered, read = others
    return ChatState(head, own.read_seq, shown(delivered, own.visible_from), shown(read, own.visible_from))


@dataclass(slots=True)
class Resumed:
    """What a client that comes back is told at once, and in which chats it has to catch up."""

    frames: list[ServerFrame] = field(default_factory=list)
    chats: dict[str, CatchUp] = field(default_factory=dict)


def resume(user: User, found: Mapping[str, Summary], asked: Mapping[str, int]) -> Resumed:
    """Sort the chats of a `resume` by what they need."""
    resumed = Resumed()
    events = 0
    for chat_id, seq in asked.items():
        audience = user.chats.get(chat_id)
        if audience is None:
            resumed.frames.append(Gone(chat_id))
            continue
        head = audience.cursor
        summary = found.get(chat_id)
        # What a client has seen through another gateway may be ahead of this one, but not of the views.
        newest = head if summary is None else max(head, summary.chat.seq)
        if seq > newest:
            # Of a log that is no more, such as one from before a restore: what comes now has numbers that it knows.
            resumed.frames.append(Limited(chat_id, head))
            continue
        start = max(seq, audience.here[user] - 1)
        missing = head - start
        if missing < 0:
            resumed.chats[chat_id] = CatchUp(start, skip_to=start)
        elif missing > MAX_PER_CHAT or events + missing > MAX_EVENTS:
            resumed.frames.append(Limited(chat_id, head))
        elif missing:
            events += missing
            resumed.chats[chat_id] = CatchUp(start)
    return resumed
